"""The owner on hosts whose memory controller is on cgroup v2: the process's own group of the v2 tree."""

from __future__ import annotations

import os
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.decode.cells import cell_info_decoder
from perflens.enrich.cgroups import CgroupTree
from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes, object_path, object_types
from perflens.kernel.features import inspect, mounts
from perflens.registry import discover
from tests.kernel.support import Group, remove, wait


def test_owner_of_the_v2_tree(rung: str, data_file: Path) -> None:
    """A nested group of the v2 tree is the owner, with its id, its whole path and exact counts."""
    found = [mount.point for mount in mounts(Path("/proc/self/mountinfo").read_text()) if mount.fstype == "cgroup2"]
    if not found:
        pytest.skip("no cgroup v2 tree is mounted")
    host = replace(inspect(), owner_by_memory=False)
    probe = attach("file", discover()["file"], host, rung=rung, sizes=Sizes.of(host, 256), thresholds=[1 << 40] * 5)
    decode = cell_info_decoder(object_types(object_path("file", host.machine)).struct("cell_info"))
    outer = Path(found[0]) / f"perflens-v2-{os.getpid()}.slice"
    inner = outer / "nested.service"
    inner.mkdir(parents=True)
    fd, wanted = os.open(data_file, os.O_RDONLY), inner.stat().st_ino
    try:
        wait(Group(inner).run(lambda: [os.pread(fd, 1, 0) for _ in range(23)]))
        probe.detach()
        cells = probe.harvest(array("i", [-1]) * (2 * probe.capacity), array("Q"), array("Q"))
        paths = {decode(probe.info(cell)).path for cell in cells if probe.key(cell).owner == wanted}
        tree = CgroupTree(found[0])
        gone = tree.is_gone((outer.name, inner.name), wanted)
    finally:
        remove(inner)
        remove(outer)
        probe.close()
        os.close(fd)

    assert paths == {(outer.name, "nested.service")}
    assert not gone
    assert tree.is_gone((outer.name, inner.name), wanted)
