"""selftest/throttle.py: where requests can be held back, and what comes of it where they are not."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from perflens.model import Mount
from perflens.selftest.throttle import Throttle, mark_of, throttle_of, throttle_tree

SIZE = 4_096


def tree(point: Path, fstype: str, *options: str) -> Mount:
    return Mount("/", str(point), fstype, frozenset(options))


def test_trees(tmp_path: Path) -> None:
    """That of blkio, else the unified one if its root gives io to the cgroups below it, else none."""
    v1, memory, v2 = tree(tmp_path / "v1", "cgroup", "rw", "blkio"), tree(tmp_path, "cgroup", "memory"), tree(tmp_path, "cgroup2")
    children = tmp_path / "cgroup.subtree_control"

    assert throttle_tree([v2, memory]) == ""
    children.write_text("cpu memory pids\n")
    assert throttle_tree([v2, memory]) == ""
    children.write_text("cpu io memory\n")
    assert throttle_tree([memory, v2]) == str(tmp_path)
    assert throttle_tree([memory, v2, v1]) == str(tmp_path / "v1")


def test_cgroup_without_a_throttle(tmp_path: Path) -> None:
    """A disk that lies on others and a kernel without throttling are told."""
    assert "lies on others" in throttle_of(tmp_path, "", join=True).lacks
    assert "no throttle" in throttle_of(tmp_path, "8:0", join=True).lacks
    (tmp_path / "io.max").touch()
    assert throttle_of(tmp_path, "8:0", join=False) == Throttle(str(tmp_path), "8:0")
    assert throttle_of(tmp_path, "8:0", join=True).members == f"{tmp_path}/cgroup.procs"


@pytest.mark.parametrize("v1", [True, False], ids=["v1", "v2"])
def test_limit_that_is_not_heeded(tmp_path: Path, v1: bool) -> None:
    """A request that is not held back has no least time; the limit is lifted in the end."""
    read, write = (tmp_path / (f"blkio.throttle.{name}_bps_device" if v1 else "io.max") for name in ("read", "write"))
    for file in (read, write):
        file.touch()
    own, during = Throttle(str(tmp_path), "8:0"), []
    least, most = own.hold("write", lambda: during.append(write.read_text()), SIZE, 0.0, "mark")

    assert least == 0 < most
    assert during == ["8:0 4096" if v1 else "8:0 wbps=4096"]
    assert write.read_text() == ("8:0 0" if v1 else "8:0 wbps=max")
    own.lift()
    assert write.read_text() == ("8:0 0" if v1 else "8:0 wbps=max")
    assert not v1 or read.read_text() == "8:0 0"


def test_request_that_fails(tmp_path: Path) -> None:
    """Its error is told, and so is a limit that cannot be set; then there is no request."""
    (tmp_path / "io.max").touch()
    made = []

    def fail() -> None:
        made.append(1)
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        Throttle(str(tmp_path), "8:0").hold("write", fail, SIZE, 0.0, "mark")
    with pytest.raises(FileNotFoundError):
        Throttle(str(tmp_path / "nothing"), "8:0").hold("write", fail, SIZE, 0.0, "mark")
    assert made == [1]


def test_throttle_that_is_none() -> None:
    """Nothing is lifted."""
    Throttle(lacks="none here").lift()


def test_marks() -> None:
    """The name of a thread is short, and another one for each run and family."""
    marks = {mark_of(Path(f"/tmp/run-{run}/{family}")) for run in range(2) for family in ("block", "file")}

    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {14}
