"""What was changed in the minutes before: kept from one look at the settings to the next, and told as facts."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from perflens.analysis import HOST, Subject
from perflens.analyzer.readings.changes import Change, changes
from perflens.analyzer.readings.settings import SettingsReading
from perflens.analyzer.signals import Signal

__all__ = ["Changes", "Program"]

_SECOND = 1_000_000_000
_WINDOW = 600 * _SECOND
_MOST, _MOST_OF_OFTEN, _PROGRAMS = 200, 20, 4_096
_OFTEN = ("exec", "mount")  # a build or a pod makes hundreds: they must not push out what somebody has set
_SHOWN = 12  # digits of a build-id
_OF_OWNER, _OF_DEVICE = ("io_limit", "memory_limit", "cpu_quota"), ("scheduler", "read_ahead", "nr_requests")


class Program(NamedTuple):
    """A program that somebody started: its owner's unit, its path and its build-id in hexadecimal, empty where it has none."""

    unit: str
    path: str
    build: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: int
    kind: str
    subject: Subject
    detail: str


class Changes:
    """The changes of the last ten minutes, bounded by number. ``escape`` makes text that others chose safe to show.

    A program that an owner had not run before is one too, by its build-id: the same path may be another build, another path the same.
    What was run is known for a bounded number of programs.
    """

    def __init__(self, escape: Callable[[str], str]) -> None:
        self._escape = escape
        self._set: deque[_Seen] = deque(maxlen=_MOST)
        self._often: dict[str, deque[_Seen]] = {kind: deque(maxlen=_MOST_OF_OFTEN) for kind in _OFTEN}
        self._last: SettingsReading | None = None
        self._paths: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._builds: OrderedDict[tuple[str, str], None] = OrderedDict()

    def compare(self, now: SettingsReading, at: int, owners: Mapping[str, str] = MappingProxyType({})) -> None:
        """Take in what is set now; ``at`` is the time in ns since the epoch, ``owners`` the names of the cgroups' owners by theirs."""
        if self._last:
            for own in changes(self._last, now):
                self._note(_Seen(at, own.kind, self._subject(own, owners), self._escape(own.detail)))
        self._last = now

    def programs(self, started: Iterable[Program], at: int, *, usual: bool = False) -> None:
        """Take in programs that were started. What is ``usual`` is known from then on, and no change."""
        for own in started:
            is_new = self._is_new(own)
            self._keep(own)
            if is_new and not usual:
                build = f", build {own.build[:_SHOWN]}" if own.build else ""
                self._note(_Seen(at, "exec", Subject("owner", own.unit), f"{self._escape(own.path)}{build}"))

    def _note(self, own: _Seen) -> None:
        self._often.get(own.kind, self._set).append(own)

    def _is_new(self, own: Program) -> bool:
        """Of a path that was run before it must be known that it was another build: of what has ended soon the build was not read."""
        before = self._paths.get((own.unit, own.path))
        if own.build:
            return before != "" and (own.unit, own.build) not in self._builds
        return before is None

    def _keep(self, own: Program) -> None:
        path = (own.unit, own.path)
        self._paths[path] = own.build or self._paths.get(path, "")
        self._paths.move_to_end(path)
        if own.build:
            self._builds[own.unit, own.build] = None
            self._builds.move_to_end((own.unit, own.build))
        for known in (self._paths, self._builds):
            while len(known) > _PROGRAMS:
                known.popitem(last=False)

    def signals(self, onset: int) -> list[Signal]:
        """Return the changes of the ten minutes before ``onset`` (ns since the epoch) and since, the latest first."""
        recent = [own for own in chain(self._set, *self._often.values()) if own.at >= onset - _WINDOW]
        return [
            Signal(
                f"changed.{own.kind}", own.subject, (onset - own.at) / _SECOND, "s", "was changed", "perflens: settings", detail=own.detail
            )
            for own in sorted(recent, key=lambda own: own.at, reverse=True)
        ]

    def _subject(self, own: Change, owners: Mapping[str, str]) -> Subject:
        if own.kind in _OF_OWNER:
            return Subject("owner", owners.get(own.subject, own.subject))
        return Subject("device", own.subject) if own.kind in _OF_DEVICE else HOST
