"""Operations of threads that share a slot: none is lost, and the table that keeps them is counted."""

from __future__ import annotations

import mmap
import os
import time
from array import array
from pathlib import Path

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover
from tests.kernel.support import Group, group, wait

PROCESSES, WRITES = 7, 23


def _written(probe: AttachedProbe, own: Group) -> int:
    """The writes of a group that were aggregated."""
    bindings = array("i", [-1]) * (2 * probe.capacity)
    rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * 256)), array("Q", bytes(8 * (SLOW_WIDTH + len(probe.wait_reasons)) * 256))
    cells = probe.harvest(bindings, rows, slow)
    for number, cell in enumerate(cells):
        bindings[2 * cell] = bindings[2 * cell + 1] = number
    probe.harvest(bindings, rows, slow)
    wanted = own.folder.stat().st_ino
    keys = [probe.key(cell) for cell in cells]
    return sum(rows[n * HISTOGRAM_WIDTH] for n, key in enumerate(keys) if (key.owner, key.operation) == (wanted, 1))


def test_threads_that_collide_lose_nothing(rung: str, tmp_path: Path) -> None:
    """With two slots for the whole host every write of every process is still counted, and so is each collision.

    With one slot alone there is no table beside it: that is how a probe without durations is attached.
    """
    host = inspect()
    probe = attach("file", discover()["file"], host, rung=rung, sizes=Sizes(256, 2, 2), thresholds=[1 << 40] * 5)
    block = mmap.mmap(-1, 1 << 20)
    files = [os.open(tmp_path / f"file{number}", os.O_WRONLY | os.O_CREAT | os.O_DIRECT) for number in range(PROCESSES)]

    def write(fd: int) -> None:
        for number in range(WRITES):
            os.pwrite(fd, block, number << 20)

    with group("slots") as own:
        wait(*[own.run(lambda fd=fd: write(fd)) for fd in files])  # type: ignore[misc]
        time.sleep(0.2)
        probe.detach()
        entered, outcomes, in_flight, missed, details = probe.ledger(probe.slots.read())
        overflowing = probe.overflowing
        written = _written(probe, own)
    probe.close()
    for fd in files:
        os.close(fd)

    assert written == PROCESSES * WRITES
    assert details["slot_collision"] > 0
    assert outcomes["no_slot"] == missed == 0
    assert entered >= written
    assert in_flight >= overflowing >= 0
