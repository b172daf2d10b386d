"""kernel/slots.py: operations in flight, and those whose thread is gone."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

import pytest

from perflens.kernel.attached import object_types
from perflens.kernel.slots import Slots
from tests.unit.kernel.objects import real_object

LAYOUT = object_types(real_object()).struct("op_slot")
SECOND = 10**9
TICKS = os.sysconf("SC_CLK_TCK")


class Own:
    """Four slots and a procfs of this test."""

    def __init__(self, procfs: Path) -> None:
        self.memory, self.procfs = mmap.mmap(-1, 4 * LAYOUT.size), procfs
        self.slots = Slots(self.memory, LAYOUT, str(procfs))

    def begin(self, index: int, tid: int, ago: int) -> int:
        start = time.monotonic_ns() - ago
        struct.pack_into("<QI", self.memory, index * LAYOUT.size, start, tid)
        return start

    def start(self, index: int) -> int:
        return int(struct.unpack_from("<Q", self.memory, index * LAYOUT.size)[0])

    def thread(self, tid: int, began_ago: int, comm: str = "worker") -> None:
        """Write the stat file of a thread that began so long ago."""
        boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ago
        fields = ["S", *["0"] * 18, str(max(boottime, 0) * TICKS // SECOND), *["0"] * 30]
        folder = self.procfs / str(tid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{tid} ({comm}) {' '.join(fields)}\n")


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


def test_nothing_in_flight(own: Own) -> None:
    """Empty slots are no operations."""
    assert own.slots.in_flight() == 0


def test_young_operations_are_not_suspected(own: Own) -> None:
    """An operation that began just now counts, even though no thread has its id here."""
    own.begin(0, 77, ago=SECOND)

    assert (own.slots.in_flight(), own.slots.died) == (1, 0)


def test_dead_thread_is_reclaimed(own: Own) -> None:
    """An old operation without a thread is taken back and counted as died, once."""
    own.begin(0, 77, ago=20 * SECOND)
    own.begin(2, 78, ago=0)

    assert (own.slots.in_flight(), own.slots.died, own.start(0)) == (1, 1, 0)
    assert (own.slots.in_flight(), own.slots.died) == (1, 1)


def test_living_thread_keeps_its_operation(own: Own) -> None:
    """A thread that began before its operation may hang as long as it likes."""
    start = own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=25 * SECOND)

    assert (own.slots.in_flight(), own.slots.died, own.start(1)) == (1, 0, start)


def test_id_that_was_used_again(own: Own) -> None:
    """A thread of the same id that began after the operation is another one."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=5 * SECOND)

    assert (own.slots.in_flight(), own.slots.died, own.start(1)) == (0, 1, 0)


def test_thread_that_began_just_before_its_operation(own: Own) -> None:
    """Ticks are coarse: a thread that seems to begin with its operation keeps it."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=20 * SECOND - SECOND // 2)

    assert (own.slots.in_flight(), own.slots.died) == (1, 0)


@pytest.mark.parametrize("comm", [") S 1 2 3 (", "a b", ")", "((", "\n"])
def test_hostile_command_name(own: Own, comm: str) -> None:
    """A command name with brackets and blanks does not move the fields: who is alive and who is another is still told apart."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=25 * SECOND, comm=comm)
    own.begin(2, 78, ago=20 * SECOND)
    own.thread(78, began_ago=5 * SECOND, comm=comm)

    assert (own.slots.in_flight(), own.slots.died, own.start(2)) == (1, 1, 0)


def test_stat_that_cannot_be_read(own: Own) -> None:
    """A thread that cannot be looked at is not declared dead."""
    own.begin(1, 77, ago=20 * SECOND)
    (own.procfs / "77" / "stat").mkdir(parents=True)

    assert (own.slots.in_flight(), own.slots.died) == (1, 0)


def test_this_thread_lives(tmp_path: Path) -> None:
    """The real procfs knows the thread that asks."""
    own = Own(Path("/proc"))
    own.begin(0, os.getpid(), ago=0)

    assert (own.slots.in_flight(suspect_after=-SECOND), own.slots.died) == (1, 0)
