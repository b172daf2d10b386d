"""enrich/owners.py: names of owners, and which of them are gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from perflens.enrich.owners import Owners
from perflens.model import NO_POD, OWNER_UNKNOWN, Owner, Pod

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


UID, OTHER_UID, ID, OTHER_ID = "8f7d2c1e-5b1a-4c77-9d3e-0123456789ab", "00000000-5b1a-4c77-9d3e-0123456789ab", "3f4e" * 16, "0a9c" * 16
OF_POD = ("kubepods", "burstable", f"pod{UID}", ID)


class FakePods:
    """What a test says of pods, and the time."""

    tells = True

    def __init__(self) -> None:
        self.known: dict[str, Pod] = {}
        self.now = 100.0

    def find(self, uid: str, container_id: str) -> Pod | None:
        found = self.known.get(uid)
        return found._replace(container_id=container_id, container=found.container if container_id == ID else "") if found else None

    def clock(self) -> float:
        return self.now


@pytest.fixture
def pods() -> FakePods:
    return FakePods()


WEB = Pod(UID, ID, "shop", "web-1", "Deployment/web", "app")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("node", "/kubepods/burstable/podX/C"),
        ("unit", "/kubepods/burstable/podX/C"),
        ("workload", "shop/Deployment/web"),
        ("pod", "shop/Deployment/web/web-1"),
        ("container", "shop/Deployment/web/web-1/app"),
    ],
)
def test_name_at_each_level(tree: FakeTree, pods: FakePods, level: str, expected: str) -> None:
    """An owner in a pod has the pod's names at once when they are known, and is called by those of its level."""
    pods.known[UID] = WEB
    owners = Owners(tree, level, pods, pods.clock)
    owner = owners.resolve(7, OF_POD, complete=True)

    assert owner.name == expected.replace("X", UID).replace("C", ID)
    assert (owner.pod, owner.unit, owners.is_settled(owner)) == (WEB, "/" + "/".join(OF_POD), True)


def test_a_unit_is_no_pod(tree: FakeTree, pods: FakePods) -> None:
    """What is in no pod is called by its unit, and is settled at once; so is nobody."""
    owners = Owners(tree, "pod", pods, pods.clock)
    found = [owners.resolve(7, PATH, complete=True), owners.resolve(OWNER_UNKNOWN, (), complete=False)]

    assert [(own.name, own.unit, own.pod, owners.is_settled(own)) for own in found] == [
        ("Unit/a.service", "a.service", NO_POD, True),
        ("unknown", "unknown", NO_POD, True),
    ]


def test_a_name_that_comes_late(tree: FakeTree, pods: FakePods) -> None:
    """A pod that is not known yet is waited for, and has its name once it comes, for whoever asks."""
    owners = Owners(tree, "workload", pods, pods.clock)
    first = owners.resolve(7, OF_POD, complete=True)
    assert (first.name, first.pod, owners.is_settled(first)) == (f"Pod/{UID}", Pod(UID, ID), False)
    pods.now += 9.9
    assert not owners.is_settled(owners.resolve(7, (), complete=False))
    pods.known[UID] = WEB

    known = owners.known(7)
    assert known
    assert known.name == owners.resolve(7, (), complete=False).name == "shop/Deployment/web"
    assert owners.is_settled(known)
    assert owners.unresolved == {"pod": 0, "container": 0}


def test_a_name_that_does_not_come(tree: FakeTree, pods: FakePods) -> None:
    """After ten seconds an owner is called by its ids, and counted once; what comes later names what is bound later."""
    owners = Owners(tree, "pod", pods, pods.clock)
    owner = owners.resolve(7, OF_POD, complete=True)
    pods.now += 10

    assert owners.is_settled(owner)
    assert owners.is_settled(owner)
    assert owners.resolve(7, (), complete=False).name == f"Pod/{UID}/{UID}"
    assert owners.unresolved == {"pod": 1, "container": 0}
    pods.known[UID] = WEB
    assert owners.resolve(7, (), complete=False).name == "shop/Deployment/web/web-1"


def test_a_container_without_a_name(tree: FakeTree, pods: FakePods) -> None:
    """At the level of containers the container's name is waited for too, but not where the cgroup is the pod's own."""
    pods.known[UID] = WEB
    owners = Owners(tree, "container", pods, pods.clock)
    pause = owners.resolve(7, (*OF_POD[:3], OTHER_ID), complete=True)
    own = owners.resolve(8, OF_POD[:3], complete=True)
    assert (owners.is_settled(pause), owners.is_settled(own)) == (False, True)
    assert own.name == "shop/Deployment/web/web-1/"
    pods.now += 10

    assert owners.is_settled(pause)
    assert pause.name == f"shop/Deployment/web/web-1/{OTHER_ID[:12]}"
    assert owners.unresolved == {"pod": 0, "container": 1}


def test_without_a_cluster_nothing_is_waited_for(tree: FakeTree) -> None:
    """Where nobody tells names pods have their ids at once."""
    owners = Owners(tree, "workload")
    owner = owners.resolve(7, OF_POD, complete=True)

    assert (owner.name, owners.is_settled(owner)) == (f"Pod/{UID}", True)


def test_a_pod_that_pretends_to_be_another(tree: FakeTree, pods: FakePods) -> None:
    """Of pods within pods the outermost that is known counts; one that is not known may be what the cluster runs on."""
    pods.known[UID] = WEB
    pods.known[OTHER_UID] = WEB._replace(uid=OTHER_UID, name="victim", workload="Deployment/victim")
    owners = Owners(tree, "workload", pods, pods.clock)
    forged = owners.resolve(7, (*OF_POD, "kubepods", f"pod{OTHER_UID}", OTHER_ID), complete=True)
    nested = owners.resolve(8, ("kubepods", f"pod{UID[::-1].translate({45: 48})[:32]}", *OF_POD), complete=True)

    assert forged.name == "shop/Deployment/web"
    assert nested.name == "shop/Deployment/web"


def test_paths_behind_names(tree: FakeTree, pods: FakePods) -> None:
    """Behind a name stand the newest containers that have one; a pod's first one has none."""
    pods.known = {UID: WEB, OTHER_UID: WEB._replace(uid=OTHER_UID, name="web-2")}
    owners = Owners(tree, "workload", pods, pods.clock)
    owners.resolve(1, ("system.slice", "a.service", "below"), complete=True)
    owners.resolve(2, OF_POD, complete=True)
    owners.resolve(3, (*OF_POD[:3], OTHER_ID), complete=True)
    assert owners.paths() == {"/system.slice/a.service": "Unit/a.service", "/" + "/".join(OF_POD): "shop/Deployment/web"}
    owners.resolve(4, ("kubepods", f"pod{OTHER_UID}", ID), complete=True)

    both = [f"/kubepods/pod{OTHER_UID}/{ID}", "/" + "/".join(OF_POD)]
    assert list(owners.paths()) == [*both, "/system.slice/a.service"]
    assert list(owners.paths({"Unit/a.service": 0.1})) == ["/system.slice/a.service", *both]
    for number in range(5, 30):
        uid = f"{number:08x}{UID[8:]}"
        pods.known[uid] = WEB._replace(uid=uid, name=f"web-{number}")
        owners.resolve(number, ("kubepods", f"pod{uid}", ID), complete=True)
    assert len(owners.paths()) == 8 + 1
