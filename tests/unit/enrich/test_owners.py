"""enrich/owners.py: names of owners, and which of them are gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from perflens.enrich.owners import Owners
from perflens.model import OWNER_UNKNOWN, Owner

PATH = ("system.slice", "a.service")


class FakeTree:
    """A tree of cgroups by id."""

    def __init__(self, usable: bool = True) -> None:
        self.usable = self.searchable = usable
        self.paths: dict[int, tuple[str, ...]] = {}
        self.asked: list[int] = []
        self.searched: list[int] = []

    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool:
        self.asked.append(cgroup_id)
        return self.usable and self.paths.get(cgroup_id) != tuple(path)

    def find(self, cgroup_id: int) -> tuple[str, ...] | None:
        self.searched.append(cgroup_id)
        return self.paths.get(cgroup_id)


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree()


def test_name_from_the_kernel(tree: FakeTree) -> None:
    """A complete path needs no look-up in the tree."""
    assert Owners(tree).resolve(7, PATH, complete=True) == Owner(7, "/system.slice/a.service", "a.service")
    assert tree.searched == []


def test_root(tree: FakeTree) -> None:
    """The root's path is /."""
    assert Owners(tree).resolve(1, (), complete=True) == Owner(1, "/", "/")


def test_path_from_the_tree(tree: FakeTree) -> None:
    """A path that is not complete is looked up, once."""
    tree.paths[7] = PATH
    owners = Owners(tree)

    assert owners.resolve(7, ("a.service",), complete=False).unit == "a.service"
    assert owners.resolve(7, (), complete=False).path == "/system.slice/a.service"
    assert (tree.searched, owners.unnamed) == ([7], 0)


@pytest.mark.parametrize(("partial", "unit"), [((), "unknown"), (("b", "c"), "…/b/c")])
def test_owner_without_a_name(tree: FakeTree, partial: tuple[str, ...], unit: str) -> None:
    """What neither the kernel nor the tree knows carries what there is of its path, and is counted."""
    owners = Owners(tree)

    assert owners.resolve(7, partial, complete=False) == Owner(7, "", unit)
    assert owners.unnamed == 1


def test_name_is_kept(tree: FakeTree) -> None:
    """The first name stays, whatever later cells say."""
    owners = Owners(tree)
    first = owners.resolve(7, PATH, complete=True)

    assert owners.resolve(7, ("renamed",), complete=True) is first
    assert len(owners) == 1


def test_gone(tree: FakeTree) -> None:
    """Owners whose cgroup was removed are told once."""
    tree.paths = {7: PATH, 8: ("b",)}
    owners = Owners(tree)
    owners.resolve(7, PATH, complete=True)
    owners.resolve(8, ("b",), complete=True)

    assert owners.gone() == []
    del tree.paths[7]
    assert owners.gone() == [7]
    assert owners.gone() == []
    assert owners.all_gone() == [7]


def test_owner_without_a_name_is_gone(tree: FakeTree) -> None:
    """Who could not be found in a tree that is whole is gone; in a tree that is not, nobody is."""
    for usable, expected in ((True, [7]), (False, [])):
        tree.usable = tree.searchable = usable
        owners = Owners(tree)
        owners.resolve(7, (), complete=False)
        assert owners.gone() == expected


def test_forget(tree: FakeTree) -> None:
    """Only owners that are gone are forgotten; afterwards a name is asked for anew."""
    owners = Owners(tree)
    tree.paths[8] = ("b",)
    owners.resolve(7, PATH, complete=True)
    owners.resolve(8, ("b",), complete=True)
    owners.gone()
    owners.forget(7)
    owners.forget(8)
    owners.forget(99)

    assert len(owners) == 1
    assert owners.all_gone() == []
    assert owners.resolve(7, ("other",), complete=True).unit == "/other"


def test_last_operation_after_the_end(tree: FakeTree) -> None:
    """An owner that is gone and shows up again keeps its name and is told once more."""
    owners = Owners(tree)
    first = owners.resolve(7, PATH, complete=True)
    assert owners.gone() == [7]

    assert owners.resolve(7, PATH, complete=True) is first
    assert owners.all_gone() == []
    assert owners.gone() == [7]
    assert owners.all_gone() == [7]


def test_newest_are_checked_first_and_all_in_turn(tree: FakeTree) -> None:
    """A check looks at 500 owners: the newest and then those that were not looked at for longest."""
    owners = Owners(tree)
    for cgroup_id in range(1200):
        tree.paths[cgroup_id] = (str(cgroup_id),)
        owners.resolve(cgroup_id, (str(cgroup_id),), complete=True)
    owners.gone()
    assert sorted(tree.asked) == list(range(700, 1200))
    tree.paths[5000] = ("new",)
    owners.resolve(5000, ("new",), complete=True)
    owners.gone()
    owners.gone()

    assert tree.asked[500] == 5000
    assert set(tree.asked) == {*range(1200), 5000}


def test_nobody(tree: FakeTree) -> None:
    """What is nobody's has one name, is looked up nowhere and never gone."""
    owners = Owners(tree)

    assert owners.known(OWNER_UNKNOWN) == owners.resolve(OWNER_UNKNOWN, (), complete=False) == Owner(OWNER_UNKNOWN, "", "unknown")
    assert (len(owners), owners.unnamed, owners.gone()) == (0, 0, [])
