"""enrich/cgroups.py: the mounted tree."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from perflens.enrich import cgroups
from perflens.enrich.cgroups import CgroupTree, find_tree
from perflens.model import Mount


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for the root of a hierarchy."""
    monkeypatch.setattr(cgroups, "_ROOT_INODE", tmp_path.stat().st_ino)
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "system.slice" / "a.service").mkdir(parents=True)
    (tmp_path / "system.slice" / "b.service").mkdir()
    return tmp_path


PATH = ("system.slice", "a.service")


def number(point: Path, *path: str) -> int:
    return point.joinpath(*path).stat().st_ino


def test_living_cgroup(point: Path) -> None:
    """A cgroup at its path with its number is not gone; neither is the root."""
    tree = CgroupTree(str(point))

    assert tree.usable
    assert not tree.is_gone(PATH, number(point, *PATH))
    assert not tree.is_gone((), number(point))


def test_removed_cgroup(point: Path) -> None:
    """A cgroup whose folder was removed is gone."""
    own = number(point, *PATH)
    (point / "system.slice" / "a.service").rmdir()

    assert CgroupTree(str(point)).is_gone(PATH, own)


def test_other_cgroup_of_the_same_name(point: Path) -> None:
    """A cgroup that was removed and made again has another number."""
    assert CgroupTree(str(point)).is_gone(PATH, number(point, *PATH) + 1)


def test_file_in_place_of_a_parent(point: Path) -> None:
    """A path through something that is no folder is gone."""
    (point / "file").touch()

    assert CgroupTree(str(point)).is_gone(("file", "x"), 7)


def test_path_that_cannot_be_looked_at(point: Path) -> None:
    """When the look-up fails for another reason, nothing is declared gone."""
    assert not CgroupTree(str(point)).is_gone(("x" * 300,), 7)


def test_find(point: Path) -> None:
    """A cgroup is found by its number, as names from the root down."""
    tree = CgroupTree(str(point))

    assert tree.find(number(point, *PATH)) == PATH
    assert tree.find(number(point)) == ()
    assert tree.find(2**60) is None


def test_large_tree_is_not_walked_to_the_end(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk ends at its limit."""
    monkeypatch.setattr(cgroups, "_WALK_LIMIT", 10)
    for index in range(50):
        (point / f"c{index}").mkdir()
    found = [CgroupTree(str(point)).find(number(point, f"c{index}")) for index in range(50)]

    assert 0 < sum(path is not None for path in found) < 20


def test_large_tree_is_not_walked_for_each_cgroup(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that takes long answers for all, for ten times as long; then the next one finds what was made since."""
    now, walks = 0.0, 0

    def folders(tree: CgroupTree, path: Sequence[str]) -> Iterator[tuple[str, int]]:
        nonlocal now, walks
        is_first = path == ("",)
        now, walks = now + 0.5 * is_first, walks + is_first
        return real(tree, path)

    real = CgroupTree.folders
    monkeypatch.setattr(CgroupTree, "folders", folders)
    monkeypatch.setattr(cgroups, "monotonic", lambda: now)
    tree = CgroupTree(str(point))
    assert [tree.find(number(point, *path)) for path in (PATH, (), ("system.slice",))] == [PATH, (), ("system.slice",)]
    assert [tree.find(2**60 + other) for other in range(100)] == [None] * 100
    assert walks == 1

    (point / "new").mkdir()
    now += 5
    assert (tree.find(number(point, "new")), walks) == (("new",), 2)


def test_tree_that_is_nested_deeper_than_calls(point: Path) -> None:
    """A user can nest the cgroups that were given to him as deep as he likes."""
    before, deep = sys.getrecursionlimit(), ("a",) * 200
    point.joinpath(*deep).mkdir(parents=True)
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = CgroupTree(str(point)).find(number(point, *deep))
    finally:
        sys.setrecursionlimit(before)

    assert found == deep


@pytest.mark.parametrize("name", ["tmp", "none"])
def test_tree_that_does_not_show_its_root(tmp_path: Path, name: str) -> None:
    """What is no hierarchy's root, or is not there, tells nothing: no owner is gone, none is found."""
    if name == "tmp":
        (tmp_path / name).mkdir()
    tree = CgroupTree(str(tmp_path / name))

    assert not tree.usable
    assert not tree.is_gone(("x",), 7)
    assert tree.find(os.stat(tmp_path).st_ino) is None


@pytest.mark.parametrize(
    ("marker", "on_v1", "expected"),
    [("cgroup.controllers", False, True), ("memory.stat", True, True), ("cgroup.controllers", True, False), ("memory.stat", False, False)],
)
def test_another_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str, on_v1: bool, expected: bool) -> None:
    """The root of a tree that owners are not of, or of another file system, tells nothing: its ids are others."""
    monkeypatch.setattr(cgroups, "_ROOT_INODE", tmp_path.stat().st_ino)
    (tmp_path / marker).touch()
    tree = CgroupTree(str(tmp_path), on_v1=on_v1)

    assert tree.usable is expected
    assert tree.is_gone(("x",), 7) is expected


def test_file_system_with_the_number_of_a_root() -> None:
    """The root of procfs, and of a tmpfs such as /sys/fs/cgroup on v1 hosts, has the number that a hierarchy's has."""
    assert os.stat("/proc").st_ino == 1
    assert not CgroupTree("/proc").usable


def mount(point: str, fstype: str, *options: str) -> Mount:
    return Mount("/", point, fstype, frozenset(options))


HYBRID = (
    mount("/proc", "proc", "rw"),
    mount("/sys/fs/cgroup/unified", "cgroup2", "rw"),
    mount("/sys/fs/cgroup/cpu", "cgroup", "rw", "cpu"),
    mount("/sys/fs/cgroup/memory", "cgroup", "rw", "memory"),
)


@pytest.mark.parametrize(
    ("mounts", "on_v1", "override", "expected"),
    [
        (HYBRID, True, "", "/sys/fs/cgroup/memory"),
        (HYBRID, False, "", "/sys/fs/cgroup/unified"),
        (HYBRID, True, "/host/cgroup", "/host/cgroup"),
        ((), True, "", "/sys/fs/cgroup"),
        ((), False, "", "/sys/fs/cgroup"),
        ((mount("/x", "cgroup2", "rw", "memory"),), True, "", "/sys/fs/cgroup"),
    ],
)
def test_find_tree(mounts: tuple[Mount, ...], on_v1: bool, override: str, expected: str) -> None:
    """The memory controller's tree on v1 hosts, else the v2 tree; what the user names goes first."""
    assert find_tree(mounts, on_v1=on_v1, override=override).point == expected


def test_tree_of_this_host() -> None:
    """The real hierarchy of this host, when it is mounted, shows its root's number or says that it is not usable."""
    from perflens.kernel.features import inspect as look
    from perflens.kernel.features import mounts as read

    found = read(Path("/proc/self/mountinfo").read_text(errors="replace"))
    tree = find_tree(found, on_v1=look().owner_by_memory)

    is_mounted = any(own.point == tree.point and own.fstype.startswith("cgroup") for own in found)
    assert tree.usable == (is_mounted and os.stat(tree.point).st_ino == 1)


def test_part_of_a_tree_is_second_choice() -> None:
    """Of several mounts the one that shows the tree from its root is taken, wherever it stands."""
    part = Mount("/docker/3f4e", "/sys/fs/cgroup", "cgroup2", frozenset({"rw"}))
    whole = Mount("/", "/host/sys/fs/cgroup", "cgroup2", frozenset({"rw"}))

    assert find_tree((part, whole), on_v1=False).point == whole.point
    assert find_tree((part,), on_v1=False).point == part.point
