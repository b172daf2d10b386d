"""The operation slots as the agent sees them: how many operations are in flight, and those whose thread is gone."""

from __future__ import annotations

import os
import time
from mmap import mmap
from pathlib import Path

from perflens.kernel import _native
from perflens.layout import Layout

__all__ = ["Slots"]

_SECOND = 1_000_000_000


class Slots:
    """The mapped slots of one probe. ``died`` counts the operations that were taken back from threads that are gone.

    Without a ``procfs`` that shows every thread of the host nothing is taken back.
    """

    def __init__(self, memory: mmap, layout: Layout, procfs: str | None) -> None:
        self._memory, self._proc = memory, procfs and Path(procfs)
        self._layout = (layout.size, layout["start"].offset, layout["tid"].offset)
        self.died = 0

    def in_flight(self, suspect_after: int = 10 * _SECOND) -> int:
        """Count the operations in flight; first take back those older than ``suspect_after`` ns whose thread is gone."""
        now = time.monotonic_ns()
        running, _, suspects = _native.scan(self._memory, self._layout, now - suspect_after)
        gone = sum(self._is_gone(tid, start) and _native.reclaim(self._memory, offset, start) for offset, start, tid in suspects)
        self.died += gone
        return running - gone

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
