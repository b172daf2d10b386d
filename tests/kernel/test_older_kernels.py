"""The paths that older kernels take, where this kernel can take them too."""

from __future__ import annotations

import os
from array import array
from dataclasses import replace
from pathlib import Path

from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover
from tests.kernel.support import group, wait


def test_counts_without_typed_casts(rung: str, data_file: Path) -> None:
    """Without bpf_rdonly_cast (before 6.2) fields are read by probe_read, with the same exact counts."""
    host = replace(inspect(), read_by_cast=False)
    probe = attach("file", discover()["file"], host, rung=rung, sizes=Sizes.of(host, 256), thresholds=[1 << 40] * 5)
    bindings, fd = array("i", [-1]) * (2 * probe.capacity), os.open(data_file, os.O_RDONLY)
    rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * 64)), array("Q", bytes(8 * (SLOW_WIDTH + len(probe.wait_reasons)) * 64))
    with group("probe-read") as own:
        wanted = own.folder.stat().st_ino
        wait(own.run(lambda: [os.pread(fd, 1, 0) for _ in range(1009)]))
        probe.detach()
        cells = [cell for cell in probe.harvest(bindings, rows, slow) if probe.key(cell).owner == wanted]
        for number, cell in enumerate(cells):
            bindings[2 * cell] = bindings[2 * cell + 1] = number
        probe.harvest(bindings, rows, slow)
    names = {probe.info(cell)[:4] for cell in cells}
    probe.close()
    os.close(fd)

    assert [rows[number * HISTOGRAM_WIDTH] for number in range(len(cells))] == [1009]
    assert names.isdisjoint({b"\0\0\0\0"})
