"""The operation slots as the agent sees them: how many operations are in flight, and those whose thread is gone."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from perflens.kernel import _native
from perflens.layout import Layout

__all__ = ["SlotReading", "Slots"]

_SECOND = 1_000_000_000


class SlotReading(NamedTuple):
    """An operation in flight: when it began (ns of CLOCK_MONOTONIC), for how long it has run, whose it is and what."""

    start: int
    age: int
    owner: int
    tid: int
    operation: int


class Slots:
    """The mapped slots of one probe. ``died`` counts the operations that were taken back from threads that are gone.

    ``forget`` is called with the thread id of each. Without a ``procfs`` that shows every thread of the host nothing is taken back.
    """

    def __init__(self, memory: mmap, layout: Layout, procfs: str | None, forget: Callable[[bytes], object]) -> None:
        self._memory, self._proc, self._forget = memory, procfs and Path(procfs), forget
        self._layout = (layout.size, layout["start"].offset, layout["tid"].offset, layout["begun"].offset)
        self._slot = layout.unpacker("start", "owner", "tid", "operation")
        self.died = self.unlisted = 0

    def in_flight(self, suspect_after: int = 10 * _SECOND) -> tuple[int, int]:
        """Return (operations begun since the start, in flight); take back those past ``suspect_after`` ns whose thread is gone."""
        now = time.monotonic_ns()
        running, begun, _, suspects = _native.scan(self._memory, self._layout, now - suspect_after)
        gone = sum(self._take_back(*suspect) for suspect in suspects)
        self.died += gone
        return begun, running - gone

    def older_than(self, age: int) -> list[SlotReading]:
        """Return the operations that have been in flight for ``age`` ns, at most 1,024; ``unlisted`` says how many there were beyond."""
        now = time.monotonic_ns()
        _, _, self.unlisted, found = _native.scan(self._memory, self._layout, now - age)
        return [reading for offset, start, _ in found if (reading := self._read(offset - self._layout[1], now)).start == start]

    def _read(self, offset: int, now: int) -> SlotReading:
        start, owner, tid, operation = self._slot.unpack_from(self._memory, offset)
        return SlotReading(start, now - start, owner, tid, operation)

    def _take_back(self, offset: int, start: int, tid: int) -> bool:
        if not self._is_gone(tid, start) or not _native.reclaim(self._memory, offset, start):
            return False
        self._forget(struct.pack("=I", tid))
        return True

    def _is_gone(self, tid: int, start: int) -> bool:
        """Whether no thread has this id, or one has that began after the operation (its id was used again)."""
        if not self._proc:
            return False
        try:
            stat = (self._proc / str(tid) / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True
        except OSError:
            return False
        ticks = int(stat[stat.rindex(b")") + 2 :].split()[19])  # field 22, starttime in ticks of the boot clock (proc(5))
        suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return ticks * (_SECOND // os.sysconf("SC_CLK_TCK")) - suspended > start + _SECOND
