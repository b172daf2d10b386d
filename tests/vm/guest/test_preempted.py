"""Programs that are preempted in the middle, where the kernel is preemptible: what is not counted is told as missed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kernel.support import Group, group, wait
from tests.vm.guest.ladder import RUNGS, Ladder, Tap, ladder

CALLS = 20_011  # reads, and as many writes
PREEMPTIONS = 2_003
APART = 0.0007  # s: no fraction of the clock's tick
SWITCH = Path("/sys/kernel/debug/sched/preempt")


@pytest.fixture(scope="module", autouse=True)
def preemptible() -> None:
    """The kernel preempts wherever it can, as it was told when it was booted."""
    if not SWITCH.exists():
        pytest.skip("no preempt=full before 5.12")
    try:
        mode = SWITCH.read_text()
    except PermissionError:
        pytest.skip("no reading of the preemption mode")
    if "(full)" not in mode:
        pytest.skip("no preempt=full")


@pytest.fixture(scope="module")
def rungs() -> Iterator[Ladder]:
    with ladder("file") as found:
        yield found


def calls(file: Path) -> None:
    """Reads and writes on one CPU."""
    os.sched_setaffinity(0, {0})
    fd = os.open(file, os.O_RDWR)
    for _ in range(CALLS):
        os.pread(fd, 1, 0)
        os.pwrite(fd, b"x", 0)


def preemptor(file: Path) -> None:
    """A read and a write now and then, which wait for nobody on that CPU."""
    os.sched_setaffinity(0, {0})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    fd = os.open(file, os.O_RDWR)
    for _ in range(PREEMPTIONS):
        os.pread(fd, 1, 0)
        os.pwrite(fd, b"x", 0)
        time.sleep(APART)


def differences(rungs: Ladder, file: Path, *work: tuple[Callable[[Path], None], int]) -> dict[str, tuple[int, int]]:
    """Of each rung: by how many operations it is off, and how many it tells as missed, at most."""

    def counted(tap: Tap, own: Group) -> int:
        owner = own.folder.stat().st_ino
        return sum(tap.of(owner=owner, operation=operation).number for operation in ("read", "write"))

    expected = sum(2 * number for _, number in work)
    missed = {tap.mechanism: tap.missed for tap in rungs.of("file")}
    with group("preempted") as own:
        wait(*[own.run(partial(do, file)) for do, _ in work])
        return {tap.mechanism: (expected - counted(tap, own), tap.missed - missed[tap.mechanism]) for tap in rungs.of("file")}


def test_what_a_preemptor_hides_is_told(rungs: Ladder, tmp_path: Path) -> None:
    (file := tmp_path / "data").write_bytes(bytes(4_096))
    found = differences(rungs, file, (calls, CALLS), (calls, CALLS), (preemptor, PREEMPTIONS))
    assert set(found) == {mechanism for family, mechanism in RUNGS if family == "file"}
    assert {name: own for name, own in found.items() if abs(own[0]) > own[1]} == {}


def test_without_one_all_is_counted(rungs: Ladder, tmp_path: Path) -> None:
    (file := tmp_path / "data").write_bytes(bytes(4_096))
    found = differences(rungs, file, (calls, CALLS))
    assert {name: own[0] for name, own in found.items()} == dict.fromkeys(found, 0)
