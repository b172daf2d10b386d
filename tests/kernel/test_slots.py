"""Operations of threads that share a slot: none is lost, and the table that keeps them is counted."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover
from tests.kernel.support import Group, group, wait

PROCESSES, WRITES = 7, 23
READERS, READS = 5, 60_000
SECOND = 10**9


@contextmanager
def _attached(rung: str, slots: int) -> Iterator[AttachedProbe]:
    probe = attach("file", discover()["file"], inspect(), rung=rung, sizes=Sizes(256, slots, 2), thresholds=[1 << 40] * 5)
    try:
        yield probe
    finally:
        probe.close()


def _aggregated(probe: AttachedProbe) -> dict[tuple[int, int], int]:
    """The operations by owner and number."""
    bindings = array("i", [-1]) * (2 * probe.capacity)
    rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * 256)), array("Q", bytes(8 * (SLOW_WIDTH + len(probe.wait_reasons)) * 256))
    cells = probe.harvest(bindings, rows, slow)
    for number, cell in enumerate(cells):
        bindings[2 * cell] = bindings[2 * cell + 1] = number
    probe.harvest(bindings, rows, slow)
    found: dict[tuple[int, int], int] = {}
    for number, cell in enumerate(cells):
        key = (probe.key(cell).owner, probe.key(cell).operation)
        found[key] = found.get(key, 0) + rows[number * HISTOGRAM_WIDTH]
    return found


def _written(probe: AttachedProbe, own: Group) -> int:
    """The writes of a group that were aggregated."""
    return _aggregated(probe).get((own.folder.stat().st_ino, 1), 0)


def test_threads_that_collide_lose_nothing(rung: str, tmp_path: Path) -> None:
    """With two slots for the whole host every write of every process is still counted, and so is each collision.

    With one slot alone there is no table beside it: that is how a probe without durations is attached.
    """
    block = mmap.mmap(-1, 1 << 20)
    files = [os.open(tmp_path / f"file{number}", os.O_WRONLY | os.O_CREAT | os.O_DIRECT) for number in range(PROCESSES)]

    def write(fd: int) -> None:
        for number in range(WRITES):
            os.pwrite(fd, block, number << 20)

    with _attached(rung, 2) as probe, group("slots") as own:
        wait(*[own.run(lambda fd=fd: write(fd)) for fd in files])  # type: ignore[misc]
        time.sleep(0.2)
        probe.detach()
        entered, outcomes, in_flight, missed, details = probe.ledger(probe.slots.read())
        overflowing = probe.overflowing
        written = _written(probe, own)
    for fd in files:
        os.close(fd)

    assert written == PROCESSES * WRITES
    assert details["slot_collision"] > 0
    assert outcomes["no_slot"] == sum(missed.values()) == 0
    assert entered >= written
    assert in_flight >= overflowing >= 0


def test_threads_that_begin_at_once_lose_nothing(rung: str, data_file: Path) -> None:
    """Readers that begin and end as fast as they can in two slots: of those that claim one at once at most one gets it."""
    fd = os.open(data_file, os.O_RDONLY)

    def read() -> None:
        for _ in range(READS):
            os.pread(fd, 1, 0)

    with _attached(rung, 2) as probe, group("slots") as own:
        wait(*[own.run(read) for _ in range(READERS)])
        probe.detach()
        entered, outcomes, in_flight, missed, details = probe.ledger(probe.slots.read())
        found, wanted = _aggregated(probe), own.folder.stat().st_ino
    os.close(fd)

    assert found[wanted, 0] == READERS * READS
    assert details["slot_collision"] > 100
    assert entered - sum(outcomes.values()) - sum(found.values()) - in_flight == sum(missed.values()) == 0


class _Slot(NamedTuple):
    """The slot of one thread among others, in a probe that is not attached."""

    probe: AttachedProbe
    tid: int

    def set(self, **values: int) -> None:
        for name, value in values.items():
            own = _LAYOUT[name]
            struct.pack_into(f"={own.code}", self.probe.slots._memory, self._at(name), value)

    def get(self, name: str) -> int:
        return int(struct.unpack_from(f"={_LAYOUT[name].code}", self.probe.slots._memory, self._at(name))[0])

    def read(self, fd: int, times: int) -> dict[str, int]:
        """Read so often while the probe is attached; return how much more of each there is now."""
        return self.call(lambda: [os.pread(fd, 1, 0) for _ in range(times)])

    def call(self, work: Callable[[], object]) -> dict[str, int]:
        """Do this while the probe is attached; return how much more of each there is now."""
        before = self._counted()
        self.probe.attach()
        with suppress(OSError):
            work()
        self.probe.detach()
        return {name: value - before[name] for name, value in self._counted().items()}

    def _counted(self) -> dict[str, int]:
        names = ("died", "slot_collision", "overflow_entered", "overflow_left")
        return {"begun": self.get("begun"), **{name: self.probe.counters()[name] for name in names}}

    def _at(self, name: str) -> int:
        return (self.tid & (_SLOTS - 1)) * _LAYOUT.size + _LAYOUT[name].offset


_LAYOUT = object_types(object_path("file", inspect().machine)).struct("op_slot")
_SLOTS = 1 << ((inspect().pid_max - 1).bit_length() - 1)  # half of what there are thread ids


@contextmanager
def _slot(rung: str, values: Sequence[tuple[str, int]]) -> Iterator[_Slot]:
    """The slot of this thread with some values, in a probe that is not attached yet; it must be nobody else's."""
    with _attached(rung, _SLOTS) as probe:
        probe.detach()
        time.sleep(0.05)
        probe.slots._memory[:] = bytes(len(probe.slots._memory))  # what began meanwhile
        own = _Slot(probe, threading.get_native_id())
        own.set(**dict(values))
        yield own


def test_operation_whose_exit_was_not_seen(rung: str, data_file: Path) -> None:
    """Its thread begins another one: that has died, its claim is withdrawn, and the slot is free for others at the end."""
    fd, tid = os.open(data_file, os.O_RDONLY), threading.get_native_id()
    with _slot(rung, [("start", time.monotonic_ns() - SECOND), ("tid", tid), ("claims", 1)]) as own:
        found = own.read(fd, 3)
        left = own.get("start"), own.get("claims")
    os.close(fd)

    assert found == {"begun": 3, "died": 1, "slot_collision": 0, "overflow_entered": 0, "overflow_left": 0}
    assert left == (0, 0)


def test_a_lock_that_spins_while_another_is_waited_for() -> None:
    """Its end, on the way to sleep for the other one or in an interrupt, leaves the reason of the sleep as it is."""
    if not inspect().traces_locks:
        pytest.skip("this kernel does not tell of locks")
    tid, lock, other = threading.get_native_id(), 0xFFFF_8881_0000_0040, 0xFFFF_8881_0000_0080
    with _slot("raw_tp", [("start", time.monotonic_ns()), ("tid", tid), ("claims", 1)]) as own:

        def tell(what: str, address: int, more: int) -> int:
            own.probe.run(f"wait_lock_{what}_raw_tp", struct.pack("=2Q", address, more))
            return own.get("contended") & 31

        found = tell("begin", lock, 2), tell("begin", other, 1), tell("end", other, 0), tell("end", lock, 0)  # LCB_F_READ, LCB_F_SPIN
        reason = own.probe.wait_reasons.index("lock")

    assert found == (reason, reason, reason, 0)


@pytest.mark.parametrize("call", ["pipe", "no file", "copy"])
def test_operation_whose_exit_was_not_seen_before_a_call_that_is_none(rung: str, data_file: Path, call: str) -> None:
    """The exit of a call that takes no slot does not end it: it would have taken until then. It has died, and the slot is free."""
    fd, tid = os.open(data_file, os.O_RDONLY), threading.get_native_id()
    near, far = os.pipe()
    os.write(far, b"x")
    work = {"pipe": lambda: os.read(near, 1), "no file": lambda: os.read(1 << 20, 1), "copy": lambda: os.sendfile(far, fd, 0, 1)}[call]
    with _slot(rung, [("start", time.monotonic_ns() - SECOND), ("tid", tid), ("claims", 1)]) as own:
        found = own.call(work)
        left = own.get("start"), own.get("claims")
        aggregated = _aggregated(own.probe).get((0, 0), 0)  # of nobody, as the slot has it
    for own_fd in (fd, near, far):
        os.close(own_fd)

    assert found == {"begun": 0, "died": 1, "slot_collision": 0, "overflow_entered": 0, "overflow_left": 0}
    assert left == (0, 0)
    assert aggregated == 0


def test_operation_of_another_thread_with_the_slot(rung: str, data_file: Path) -> None:
    """What another thread has in flight stays as it is; this one's operations are in the table beside."""
    fd, tid, start = os.open(data_file, os.O_RDONLY), threading.get_native_id(), time.monotonic_ns()
    with _slot(rung, [("start", start), ("tid", tid + _SLOTS), ("claims", 1)]) as own:
        found = own.read(fd, 3)
        left = own.get("start"), own.get("claims"), own.get("tid")
    os.close(fd)

    assert found == {"begun": 0, "died": 0, "slot_collision": 3, "overflow_entered": 3, "overflow_left": 3}
    assert left == (start, 1, tid + _SLOTS)


def test_slot_that_another_thread_has_just_claimed(rung: str, data_file: Path) -> None:
    """A claim alone keeps others out: the thread that holds it has not written its operation yet."""
    fd, tid = os.open(data_file, os.O_RDONLY), threading.get_native_id()
    with _slot(rung, [("tid", tid), ("claims", 1)]) as own:
        found = own.read(fd, 3)
        left = own.get("start"), own.get("claims")
    os.close(fd)

    assert found == {"begun": 0, "died": 0, "slot_collision": 3, "overflow_entered": 3, "overflow_left": 3}
    assert left == (0, 1)
