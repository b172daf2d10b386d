"""The slow operations that were explained, the newest ones, and those that are still in progress."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from perflens.model import Evidence

__all__ = ["Cursor", "EvidenceStore", "News", "OperationKey", "Wanted", "estimated_bytes", "key_of"]

_SECOND = 1_000_000_000
_STALE = 60 * _SECOND  # an operation in progress that no scan has seen for so long has ended unseen


class OperationKey(NamedTuple):
    """One operation: no thread begins two at the same moment."""

    probe: str
    tid: int
    start: int


class Cursor(NamedTuple):
    """A place in what a store kept: ``number`` counts the operations that ended since it began, ``store`` tells one store from another."""

    store: int
    number: int


class News(NamedTuple):
    """What ended after a cursor, in the order in which it was told, the cursor after the last of it, and how many were ``missed``.

    Those are gone from the store already; nobody knows which of them would have fitted.
    """

    evidence: list[Evidence]
    cursor: Cursor
    missed: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which evidence is asked for; what is empty or 0 asks for nothing. ``since`` is in ns since the epoch."""

    probe: str = ""
    operation: str = ""
    owner: str = ""
    pid: int = 0
    min_duration: int = 0
    since: int = 0

    def fits(self, evidence: Evidence) -> bool:
        """Whether it is one of those."""
        event = evidence.event
        return (
            event.duration >= self.min_duration
            and evidence.wall_start + event.duration >= self.since
            and self.probe in ("", event.probe)
            and self.operation in ("", event.operation)
            and self.owner in ("", evidence.owner.name)
            and self.pid in (0, event.process.pid)
        )


class _Kept(NamedTuple):
    evidence: Evidence
    size: int
    number: int


class _Seen(NamedTuple):
    evidence: Evidence
    at: int


class EvidenceStore:
    """The newest evidence, bounded by number, age and bytes. ``clock`` gives ns of CLOCK_MONOTONIC.

    ``evicted`` counts what had to go before its time, ``bytes`` estimates what is kept. ``identity`` tells it from every other store,
    of an agent that ran before as well.
    """

    def __init__(
        self, clock: Callable[[], int], *, limit: int = 1_000, seconds: int = 300, max_bytes: int = 4 << 20, identity: int | None = None
    ) -> None:
        self._clock, self._limit, self._window, self._max_bytes = clock, limit, seconds * _SECOND, max_bytes
        self._kept: deque[_Kept] = deque()
        self._ended: set[OperationKey] = set()
        self._in_progress: dict[OperationKey, _Seen] = {}
        self._identity = time.time_ns() if identity is None else identity
        self.evicted = self.bytes = self._number = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, evidence: Evidence) -> None:
        """Keep the evidence of an operation that ended, or what is known now of one that is in progress."""
        key = key_of(evidence)
        if evidence.event.in_progress:
            self._update(key, evidence)
            return
        self.ended(key)
        self._number += 1
        self._kept.append(_Kept(evidence, estimated_bytes(evidence), self._number))
        self._ended.add(key)
        self.bytes += self._kept[-1].size
        self._expire()
        while self._kept and (len(self._kept) > self._limit or self.bytes > self._max_bytes):
            self._drop_oldest()
            self.evicted += 1

    def ended(self, key: OperationKey) -> None:
        """Forget an operation in progress: it has ended."""
        self._in_progress.pop(key, None)

    def retain(self, probe: str, keys: Collection[OperationKey]) -> None:
        """Forget the operations of a probe in progress but these, which a scan has just found."""
        for key in [key for key in self._in_progress if key.probe == probe and key not in keys]:
            del self._in_progress[key]

    def recent(self, wanted: Wanted, limit: int) -> list[Evidence]:
        """Return what fits of the operations that ended, the newest first."""
        self._expire()
        return _first((kept.evidence for kept in reversed(self._kept)), wanted, limit)

    @property
    def cursor(self) -> Cursor:
        """The place after everything that ended so far."""
        return Cursor(self._identity, self._number)

    def after(self, cursor: Cursor, wanted: Wanted, limit: int) -> News:
        """Return what fits of what ended after a cursor, the oldest first; after one of another store everything that is kept."""
        self._expire()
        seen = min(cursor.number, self._number) if cursor.store == self._identity else 0
        oldest = self._kept[0].number if self._kept else self._number + 1
        missed = max(oldest - 1 - seen, 0)
        found: list[Evidence] = []
        for kept in islice(self._kept, max(seen + 1 - oldest, 0), None):
            if len(found) == limit:
                break
            seen = kept.number
            if wanted.fits(kept.evidence):
                found.append(kept.evidence)
        else:
            seen = self._number
        return News(found, Cursor(self._identity, seen), missed)

    def in_progress(self, wanted: Wanted, limit: int) -> list[Evidence]:
        """Return what fits of the operations in progress, the longest first."""
        now = self._clock()
        for key in [key for key, seen in self._in_progress.items() if now - seen.at > _STALE]:
            del self._in_progress[key]
        found = sorted((seen.evidence for seen in self._in_progress.values()), key=lambda evidence: evidence.event.start)
        return _first(iter(found), wanted, limit)

    def _update(self, key: OperationKey, evidence: Evidence) -> None:
        if key in self._ended:  # the scan saw it before it ended, and was told later
            return
        self._in_progress.pop(key, None)
        self._in_progress[key] = _Seen(evidence, self._clock())
        if len(self._in_progress) > self._limit:
            del self._in_progress[next(iter(self._in_progress))]
            self.evicted += 1

    def _expire(self) -> None:
        oldest = self._clock() - self._window
        while self._kept and self._kept[0].evidence.event.start + self._kept[0].evidence.event.duration < oldest:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        evidence, size, _ = self._kept.popleft()
        self._ended.discard(key_of(evidence))
        self.bytes -= size


def _first(evidence: Iterator[Evidence], wanted: Wanted, limit: int) -> list[Evidence]:
    found: list[Evidence] = []
    for one in evidence:
        if len(found) == limit:
            break
        if wanted.fits(one):
            found.append(one)
    return found


def key_of(evidence: Evidence) -> OperationKey:
    """Return which operation this is about."""
    event = evidence.event
    return OperationKey(event.probe, event.tid, event.start)


def estimated_bytes(evidence: Evidence) -> int:
    """Return about what one takes in memory: objects of a usual size and the characters of its texts."""
    event = evidence.event
    frames = len(evidence.kernel_stack) + len(evidence.user_stack)
    characters = sum(map(len, evidence.kernel_stack)) + sum(map(len, evidence.user_stack)) + len(event.file.path)
    raw = 48 * len(event.kernel_stack) + 170 * len(event.user_stack)
    return 1_900 + characters + 64 * frames + raw + 250 * len(event.waits) + 150 * len(event.blocked) + 400 * len(event.requests)
