"""What was changed in the minutes before: kept from one look at the settings to the next, and told as facts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from perflens.analysis import HOST, Subject
from perflens.analyzer.readings.changes import Change, changes
from perflens.analyzer.readings.settings import SettingsReading
from perflens.analyzer.signals import Signal

__all__ = ["Changes"]

_SECOND = 1_000_000_000
_WINDOW = 600 * _SECOND
_MOST = 200
_OF_OWNER, _OF_DEVICE = ("io_limit", "memory_limit", "cpu_quota"), ("scheduler", "read_ahead", "nr_requests")


@dataclass(frozen=True, slots=True)
class _Seen:
    at: int
    kind: str
    subject: Subject
    detail: str


class Changes:
    """The changes of the last ten minutes, bounded by number. ``escape`` makes text that others chose safe to show.

    A program that an owner had not run before is one too; what it had run is known for a bounded number of programs.
    """

    def __init__(self, escape: Callable[[str], str]) -> None:
        self._escape = escape
        self._seen: deque[_Seen] = deque(maxlen=_MOST)
        self._last: SettingsReading | None = None

    def compare(self, now: SettingsReading, at: int) -> None:
        """Take in what is set now; ``at`` is the time in ns since the epoch."""
        if self._last:
            for own in changes(self._last, now):
                self._seen.append(_Seen(at, own.kind, self._subject(own), self._escape(own.detail)))
        self._last = now

    def programs(self, started: Iterable[tuple[str, str]], at: int) -> None:
        """Take in (owner's unit, path) of programs that ran for the first time."""
        for unit, path in started:
            self._seen.append(_Seen(at, "exec", Subject("owner", unit), self._escape(path)))

    def signals(self, onset: int) -> list[Signal]:
        """Return the changes of the ten minutes before ``onset`` (ns since the epoch) and since, the latest first."""
        recent = [own for own in self._seen if own.at >= onset - _WINDOW]
        return [
            Signal(
                f"changed.{own.kind}", own.subject, (onset - own.at) / _SECOND, "s", "was changed", "perflens: settings", detail=own.detail
            )
            for own in sorted(recent, key=lambda own: own.at, reverse=True)
        ]

    def _subject(self, own: Change) -> Subject:
        if own.kind in _OF_OWNER:
            return Subject("owner", own.subject)
        return Subject("device", own.subject) if own.kind in _OF_DEVICE else HOST
