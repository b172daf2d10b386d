"""kernel/slots.py: operations in flight, and those whose thread is gone."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

import pytest

from perflens.kernel.attached import object_types
from perflens.kernel.slots import SlotReading, Slots, SlotsReading
from tests.unit.kernel.objects import real_object

LAYOUT = object_types(real_object()).struct("op_slot")
SECOND = 10**9
SLOTS = 1_100
TICKS = os.sysconf("SC_CLK_TCK")


class Own:
    """Some slots and a procfs of this test."""

    def __init__(self, procfs: Path | None) -> None:
        self.memory, self.procfs = mmap.mmap(-1, SLOTS * LAYOUT.size), procfs
        self.forgotten: list[int] = []
        self.slots = Slots(
            self.memory, LAYOUT, str(procfs) if procfs else None, lambda tid: self.forgotten.extend(struct.unpack("=I", tid))
        )

    def begin(self, index: int, tid: int, ago: int, begun: int = 1, **more: int) -> int:
        start = time.monotonic_ns() - ago
        for name, value in {"start": start, "tid": tid, "begun": begun, **more}.items():
            own = LAYOUT[name]
            struct.pack_into(f"={own.code}", self.memory, index * LAYOUT.size + own.offset, value)
        return start

    def start(self, index: int) -> int:
        return int(struct.unpack_from("<Q", self.memory, index * LAYOUT.size)[0])

    def claims(self, index: int) -> int:
        return int(struct.unpack_from("<I", self.memory, index * LAYOUT.size + LAYOUT["claims"].offset)[0])

    def counts(self) -> tuple[int, int]:
        """Operations in flight, and those that were taken back."""
        return self.slots.read().in_flight, self.slots.died

    def thread(self, tid: int, began_ago: int, comm: str = "worker") -> None:
        """Write the stat file of a thread that began so long ago."""
        assert self.procfs
        boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ago
        fields = ["S", *["0"] * 18, str(max(boottime, 0) * TICKS // SECOND), *["0"] * 30]
        folder = self.procfs / str(tid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{tid} ({comm}) {' '.join(fields)}\n")


@pytest.fixture
def own(tmp_path: Path) -> Own:
    (tmp_path / "1").mkdir()
    return Own(tmp_path)


def test_nothing_in_flight(own: Own) -> None:
    """Empty slots are no operations."""
    assert own.slots.read() == SlotsReading(0, 0, 0, ())


def test_young_operations_are_not_suspected(own: Own) -> None:
    """An operation that began just now counts, even though no thread has its id here."""
    own.begin(0, 77, ago=SECOND)

    assert own.counts() == (1, 0)


def test_dead_thread_is_reclaimed(own: Own) -> None:
    """An old operation without a thread is taken back and counted as died, once; what else is kept of the thread is forgotten."""
    own.begin(0, 77, ago=20 * SECOND)
    own.begin(2, 78, ago=0)

    assert (*own.counts(), own.start(0)) == (1, 1, 0)
    assert own.counts() == (1, 1)
    assert own.forgotten == [77]


def test_claim_of_a_dead_thread_is_withdrawn(own: Own) -> None:
    """Where threads share slots the claim of what is taken back goes with it, once; those of others stay."""
    own.begin(0, 77, ago=20 * SECOND, claims=1)
    own.begin(1, 78, ago=20 * SECOND, claims=3)
    own.begin(2, 79, ago=0, claims=1)

    for _ in range(2):
        assert own.counts() == (1, 2)
        assert [own.claims(index) for index in range(3)] == [0, 2, 1]


def test_operation_that_its_thread_takes_over(own: Own) -> None:
    """A start that is beyond any clock is of a thread that begins anew in its own slot: in flight, and nothing to take back."""
    own.begin(0, 77, ago=20 * SECOND - 2**63, claims=2)

    assert own.counts() == (1, 0)
    assert own.slots.read(0).old == ()
    assert own.claims(0) == 2


def test_what_began_is_counted_by_the_slots(own: Own) -> None:
    """Operations begun are the sum over all slots, of threads that are gone too."""
    own.begin(0, 77, ago=20 * SECOND, begun=5)
    own.begin(2, 78, ago=0, begun=2**40)
    own.begin(3, 79, ago=0, begun=100)
    struct.pack_into("=Q", own.memory, 3 * LAYOUT.size, 0)

    assert own.slots.read()[:3] == (105 + 2**40, 1, 0)
    assert own.slots.read()[:3] == (105 + 2**40, 1, 0)


def test_old_operations_are_told(own: Own) -> None:
    """What has been in flight for the age that is asked for is listed: whose it is, what, since when."""
    starts = {tid: own.begin(tid, tid, ago=tid * SECOND, owner=7 * tid, operation=tid) for tid in (1, 2, 3)}
    before = time.monotonic_ns()
    reading = own.slots.read(2 * SECOND)

    assert (reading.in_flight, reading.unlisted) == (3, 0)
    assert [old._replace(age=0) for old in reading.old] == [SlotReading(starts[tid], 0, 7 * tid, tid, tid) for tid in (2, 3)]
    assert all(before - old.start <= old.age <= time.monotonic_ns() - old.start for old in reading.old)


def test_age_beyond_that_of_a_suspect(own: Own) -> None:
    """Whoever asks for very old operations alone still takes back those of dead threads, and is told of no younger ones."""
    own.begin(0, 77, ago=15 * SECOND)
    own.begin(1, 78, ago=15 * SECOND)
    start = own.begin(2, 79, ago=70 * SECOND)
    for tid in (78, 79):
        own.thread(tid, began_ago=80 * SECOND)
    reading = own.slots.read(60 * SECOND)

    assert [old.start for old in reading.old] == [start]
    assert (reading.in_flight, own.slots.died) == (2, 1)


def test_more_old_operations_than_are_listed(own: Own) -> None:
    """A thousand operations that hang are listed, how many there are beyond them is told, and all are in flight."""
    for index in range(SLOTS):
        own.begin(index, index + 1, ago=SECOND)
    reading = own.slots.read(SECOND // 2)

    assert (reading.begun, reading.in_flight, reading.unlisted, len(reading.old)) == (SLOTS, SLOTS, SLOTS - 1_024, 1_024)


def test_without_a_procfs_of_all_threads() -> None:
    """Where threads cannot be seen, nothing is taken back, however old."""
    own = Own(None)
    start = own.begin(0, 77, ago=100 * SECOND)  # less than any host is up

    assert own.counts() == (1, 0)
    assert [old.start for old in own.slots.read().old] == [start]
    assert own.forgotten == []


def test_living_thread_keeps_its_operation(own: Own) -> None:
    """A thread that began before its operation may hang as long as it likes."""
    start = own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=25 * SECOND)

    assert (*own.counts(), own.start(1)) == (1, 0, start)


def test_id_that_was_used_again(own: Own) -> None:
    """A thread of the same id that began after the operation is another one."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=5 * SECOND)

    assert (*own.counts(), own.start(1)) == (0, 1, 0)
    assert own.forgotten == [77]


def test_thread_that_began_just_before_its_operation(own: Own) -> None:
    """Ticks are coarse: a thread that seems to begin with its operation keeps it."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=20 * SECOND - SECOND // 2)

    assert own.counts() == (1, 0)


@pytest.mark.parametrize("comm", [") S 1 2 3 (", "a b", ")", "((", "\n"])
def test_hostile_command_name(own: Own, comm: str) -> None:
    """A command name with brackets and blanks does not move the fields: who is alive and who is another is still told apart."""
    own.begin(1, 77, ago=20 * SECOND)
    own.thread(77, began_ago=25 * SECOND, comm=comm)
    own.begin(2, 78, ago=20 * SECOND)
    own.thread(78, began_ago=5 * SECOND, comm=comm)

    assert (*own.counts(), own.start(2)) == (1, 1, 0)


def test_stat_that_cannot_be_read(own: Own) -> None:
    """A thread that cannot be looked at is not declared dead."""
    own.begin(1, 77, ago=20 * SECOND)
    assert own.procfs
    (own.procfs / "77" / "stat").mkdir(parents=True)

    assert own.counts() == (1, 0)


def test_processes_of_others_are_hidden(own: Own) -> None:
    """Where procfs shows not even the first process (hidepid) one that is not seen may well be alive."""
    own.begin(1, 77, ago=20 * SECOND)
    assert own.procfs
    (own.procfs / "1").rmdir()

    assert (*own.counts(), own.start(1) != 0) == (1, 0, True)


def test_this_thread_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real procfs knows the thread that asks, and not the one after the last id there can be."""
    monkeypatch.setattr("perflens.kernel.slots._SUSPECT_AFTER", 0)
    own = Own(Path("/proc"))
    own.begin(0, os.getpid(), ago=1)
    own.begin(1, 2**22 + 1, ago=1)

    assert own.counts() == (1, 1)
    assert own.forgotten == [2**22 + 1]


def test_what_is_over_is_in_flight_and_not_listed() -> None:
    """Of an operation that began long ago its slot is asked whether it is over; of a younger one it is not."""
    memory = mmap.mmap(-1, SLOTS * LAYOUT.size)
    asked: list[int] = []

    def is_over(slot: bytes) -> bool:
        asked.append(LAYOUT.unpacker("tid").unpack_from(slot)[0])
        return asked[-1] == 1

    slots = Slots(memory, LAYOUT, None, lambda _: None, is_over)
    now = time.monotonic_ns()
    for tid, ago in ((1, 20), (2, 20), (3, 5)):
        for name, value in {"start": now - ago * SECOND, "tid": tid, "begun": 1}.items():
            struct.pack_into(f"={LAYOUT[name].code}", memory, tid * LAYOUT.size + LAYOUT[name].offset, value)

    found = slots.read(age=SECOND)

    assert asked == [1, 2]
    assert found.in_flight == 3
    assert [own.tid for own in found.old] == [2, 3]
