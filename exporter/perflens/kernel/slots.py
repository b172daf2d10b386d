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

__all__ = ["SlotReading", "Slots", "SlotsReading"]

_SECOND = 1_000_000_000
_SUSPECT_AFTER = 10 * _SECOND


class SlotReading(NamedTuple):
    """An operation in flight: when it began (ns of CLOCK_MONOTONIC), for how long it has run, whose it is and what."""

    start: int
    age: int
    owner: int
    tid: int
    operation: int


class SlotsReading(NamedTuple):
    """Operations begun since the start, those in flight, and the old ones: at most 1,024, with how many are ``unlisted`` beyond."""

    begun: int
    in_flight: int
    unlisted: int
    old: tuple[SlotReading, ...]


class Slots:
    """The mapped slots of one probe. ``died`` counts the operations that were taken back from threads that are gone.

    ``forget`` is called with the thread id of each. Without a ``procfs`` that shows every thread of the host nothing is taken back.
    What began long ago and is over, as ``is_over`` says of its slot's bytes, stays in flight and is not listed.
    """

    def __init__(
        self,
        memory: mmap,
        layout: Layout,
        procfs: str | None,
        forget: Callable[[bytes], object],
        is_over: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._memory, self._proc, self._forget, self._is_over = memory, procfs and Path(procfs), forget, is_over
        self._layout = (layout.size, layout["start"].offset, layout["tid"].offset, layout["begun"].offset)
        self._claims = layout["claims"].offset - layout["start"].offset if procfs else 0
        self._slot = layout.unpacker("start", "owner", "tid", "operation")
        self.died = 0

    def read(self, age: int = _SUSPECT_AFTER) -> SlotsReading:
        """Look at every slot, and list what has been in flight for ``age`` ns; take back what began long ago in a thread that is gone."""
        now = time.monotonic_ns()
        running, begun, unlisted, found = _native.scan(self._memory, self._layout, now - min(age, _SUSPECT_AFTER))
        gone, listed = 0, []
        for offset, start, tid in found:
            at, is_suspect = offset - self._layout[1], start < now - _SUSPECT_AFTER
            if is_suspect and self._take_back(offset, start, tid):
                gone += 1
            elif is_suspect and self._is_over(self._memory[at : at + self._layout[0]]):
                continue
            elif (reading := self._read(at, now)).start == start and reading.age >= age:
                listed.append(reading)
        self.died += gone
        return SlotsReading(begun, running - gone, unlisted, tuple(listed))

    def bytes(self) -> bytes:
        """Return a copy of all slots."""
        return self._memory[:]

    def _read(self, offset: int, now: int) -> SlotReading:
        start, owner, tid, operation = self._slot.unpack_from(self._memory, offset)
        return SlotReading(start, now - start, owner, tid, operation)

    def _take_back(self, offset: int, start: int, tid: int) -> bool:
        if not self._is_gone(tid, start) or not _native.reclaim(self._memory, offset, offset + self._claims, start):
            return False
        self._forget(struct.pack("=I", tid))
        return True

    def _is_gone(self, tid: int, start: int) -> bool:
        """Whether no thread has this id, or one has that began after the operation (its id was used again)."""
        if not self._proc:
            return False
        try:
            stat = (self._proc / str(tid) / "stat").read_bytes()
        except ProcessLookupError:
            return True
        except FileNotFoundError:
            return (self._proc / "1").exists()  # else processes of others are hidden from this one: hidepid, proc(5)
        except OSError:
            return False
        ticks = int(stat[stat.rindex(b")") + 2 :].split()[19])  # field 22, starttime in ticks of the boot clock (proc(5))
        suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return ticks * (_SECOND // os.sysconf("SC_CLK_TCK")) - suspended > start + _SECOND
