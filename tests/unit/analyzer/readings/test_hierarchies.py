"""readings/hierarchies.py: mounts of the controllers, and the cgroup of a process in each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.readings.hierarchies import CgroupPaths, Hierarchies, clean, find_hierarchies, find_paths, parse_cgroup
from perflens.analyzer.readings.mountinfo import MountLine, parse_mountinfo
from tests.unit.analyzer.readings.trees import make

HYBRID = b"""\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
32 31 0:29 /docker/1 /run/part rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw
"""


def test_hybrid_host() -> None:
    """Controllers that are mounted together, a mount of a part of a tree, an escaped space, a controller without a mount."""
    found = find_hierarchies(HYBRID)

    assert found == Hierarchies(
        "/sys/fs/cgroup/uni fied", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", ""
    )
    assert found.owner == "/sys/fs/cgroup/memory"
    assert found.has_v1


def test_v2_host() -> None:
    """All controllers are those of the v2 tree."""
    found = find_hierarchies(b"29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n")

    assert found == Hierarchies("/sys/fs/cgroup")
    assert found.owner == "/sys/fs/cgroup"
    assert not found.has_v1


def test_host_without_cgroups() -> None:
    """There is no owner's hierarchy then."""
    assert find_hierarchies(b"").owner == ""


def test_mount_lines() -> None:
    """Options of the mount and of its super block, each once."""
    line = b"36 35 98:0 /mnt1 /mnt\\0112 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nbad\n36 35 98:0 / /x rw -"

    assert list(parse_mountinfo(line)) == [MountLine("/mnt1", "/mnt\t2", "ext3", ("rw", "noatime", "errors=continue"))]


@pytest.mark.parametrize(
    ("path", "cleaned"), [("", "/"), ("/", "/"), ("a/b/", "/a/b"), ("//a/./b", "/a/b"), ("/../a", None), ("/a\0", None)]
)
def test_clean(path: str, cleaned: str | None) -> None:
    """A path that leads out of the tree is none."""
    assert clean(path) == cleaned


def test_cgroup_of_a_process() -> None:
    """Paths may have colons; those out of the namespace are left out."""
    text = b"9:name=systemd:/init\n4:cpu,cpuacct:/a:b\n3:memory:/../x\n0::/u\nbad\n"

    assert parse_cgroup(text) == {"name=systemd": "/init", "cpu": "/a:b", "cpuacct": "/a:b", "": "/u"}


def test_names_that_look_like_ends_of_lines() -> None:
    """A carriage return may be part of a cgroup's name, and of a mount point; a new line may not, or is escaped."""
    line = b"36 35 0:32 / /a\rb rw - cgroup2 cgroup2 rw\n"

    assert parse_cgroup(b"2:cpu:/a\rb\n0::/c\rd\n") == {"cpu": "/a\rb", "": "/c\rd"}
    assert [own.point for own in parse_mountinfo(line)] == ["/a\rb"]


V1 = Hierarchies(unified="/none", cpu="/none", cpuacct="/none", memory="", blkio="/none")


def test_other_paths_by_a_process(tmp_path: Path) -> None:
    """Another hierarchy's path is that of the first process that is not gone; 0 is none of ours."""
    procfs = make(tmp_path / "proc", {"12/cgroup": "2:cpu:/c\n1:memory:/m\n0::/u\n"})
    memory = make(tmp_path / "memory", {"m/cgroup.procs": "0\n11\n12\n", "empty/cgroup.procs": ""})
    hierarchies = V1._replace(memory=memory)

    assert find_paths(procfs, hierarchies, "/m") == CgroupPaths("/m", "/c", "/m", "/m", "/u")
    assert find_paths(procfs, hierarchies, "/empty") == CgroupPaths(*["/empty"] * 5)
    assert find_paths(procfs, hierarchies, "/gone") == CgroupPaths(*["/gone"] * 5)
    assert find_paths(procfs, hierarchies, "/") == CgroupPaths(*["/"] * 5)


def test_one_path_on_v2(tmp_path: Path) -> None:
    """There is one tree, so no process is asked."""
    assert find_paths("/none", Hierarchies(str(tmp_path)), "/a") == CgroupPaths(*["/a"] * 5)


@given(
    st.lists(
        st.sampled_from([b"1", b" - ", b" ", b"/", b"cgroup", b"cgroup2", b",cpu", b"\\040", b"\\777", b":", b"\n", b"\0", b"\xff"])
    ).map(b"".join)
)
def test_any_text(text: bytes) -> None:
    """Whatever the files hold, nothing is raised."""
    find_hierarchies(text)
    parse_cgroup(text)
