"""enrich/kubernetes/selection.py: cgroups are decided by the names of their pods, and are undecided before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perflens.enrich.cgroups import CgroupTree
from perflens.enrich.kubernetes.selection import Selection, Wanted
from perflens.model import Pod

A, B, C = "a" * 64, "b" * 64, "c" * 64
UID = "00000000-0000-4000-8000-{:012d}".format
PODS = ("kubepods", "burstable")


class Own:
    """A tree of folders, the pods that are known, and the verdicts that the kernel side has."""

    def __init__(self, point: Path, wanted: Wanted, room: int = 64) -> None:
        self.point, self.known, self.verdicts = point, dict[str, Pod](), dict[int, str]()
        self.selection = Selection(CgroupTree(str(point)), wanted, self, self.decide, room)

    def find(self, uid: str, container_id: str) -> Pod | None:
        pod = self.known.get(container_id) or self.known.get(uid)
        return pod._replace(uid=uid, container_id=container_id) if pod else None

    def decide(self, cgroup_id: int, verdict: str) -> None:
        if verdict:
            self.verdicts[cgroup_id] = verdict
        else:
            del self.verdicts[cgroup_id]

    def make(self, *path: str) -> tuple[str, ...]:
        (self.point / Path(*path)).mkdir(parents=True, exist_ok=True)
        return path

    def pod(self, number: int, namespace: str = "", name: str = "web-1", *containers: str) -> tuple[str, ...]:
        path = self.make(*PODS, f"pod{UID(number)}")
        for container in containers:
            self.make(*path, container)
        if namespace:
            self.known[UID(number)] = Pod(namespace=namespace, name=name)
        return path

    def id(self, path: tuple[str, ...]) -> int:
        return os.stat(self.point / Path(*path)).st_ino

    def verdict(self, *path: str) -> str:
        """What the kernel side finds for a cgroup: the nearest verdict, from it upwards."""
        for depth in range(len(path), 0, -1):
            found = self.verdicts.get(self.id(path[:depth]))
            if found:
                return found
        return ""


Make = Callable[..., Own]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda *own, **room: Own(tmp_path, *own, **room)


@pytest.mark.parametrize(
    ("wanted", "verdicts"),
    [
        (Wanted(("shop",)), ["wanted", "unwanted", "wanted"]),
        (Wanted(("shop", "bank")), ["wanted", "wanted", "wanted"]),
        (Wanted(("s*p",)), ["wanted", "unwanted", "wanted"]),
        (Wanted((), ("web-*",)), ["wanted", "wanted", "unwanted"]),
        (Wanted((), ("web",)), ["unwanted", "unwanted", "unwanted"]),
        (Wanted((), ("web.1",)), ["unwanted", "unwanted", "unwanted"]),
        (Wanted(("shop",), ("web-*", "none")), ["wanted", "unwanted", "unwanted"]),
    ],
)
def test_by_names(make: Make, wanted: Wanted, verdicts: list[str]) -> None:
    """One name of each kind has to fit, the whole of it; what is below a pod goes with it, and what is in no pod has no verdict."""
    own = make(wanted)
    paths = [own.pod(1, "shop", "web-1", A), own.pod(2, "bank", "web-1"), own.pod(3, "shop", "db-0")]
    service = own.make("system.slice", "ssh.service")
    own.selection.look()

    assert [own.verdict(*path) for path in paths] == verdicts
    assert own.verdict(*paths[0], A) == verdicts[0]
    assert own.verdict(*service) == ""
    assert own.selection.counts() == {
        "wanted": verdicts.count("wanted"),
        "unwanted": verdicts.count("unwanted"),
        "undecided": 0,
        "no_room": 0,
    }


def test_before_the_name_is_known(make: Make) -> None:
    """A pod without a name is undecided, also one that nobody told of, and is decided when the name comes."""
    own = make(Wanted(("shop",)))
    first = own.pod(1)
    own.selection.look()
    second = own.pod(2)
    assert [own.verdict(*path) for path in (first, second)] == ["undecided", "undecided"]
    assert own.selection.counts()["undecided"] == 1

    own.selection.made(own.id(second), second)
    own.known[UID(1)], own.known[UID(2)] = Pod(namespace="shop", name="a"), Pod(namespace="bank", name="b")
    own.selection.settle()
    assert [own.verdict(*path) for path in (first, second)] == ["wanted", "unwanted"]
    assert own.selection.counts() == {"wanted": 1, "unwanted": 1, "undecided": 0, "no_room": 0}


def test_made_before_the_look(make: Make) -> None:
    """The first pod of all tells where pods are, so that the next one is undecided at once."""
    own = make(Wanted(("shop",)))
    own.selection.look()
    first = own.pod(1, "shop")
    own.selection.made(own.id(first), first)
    own.selection.made(own.id(own.make(*first, A)), (*first, A))

    assert own.verdict(*first, A) == "wanted"
    assert own.verdict(*own.pod(2)) == "undecided"
    assert len(own.selection.verdicts()) == 2


def test_a_pod_that_no_event_told_of(make: Make) -> None:
    """One whose event was lost is found where others are."""
    own = make(Wanted(("shop",)))
    own.pod(1, "shop")
    own.selection.look()
    second = own.pod(2, "shop")
    own.selection.look()

    assert own.verdict(*second) == "wanted"


def test_by_container(make: Make) -> None:
    """Containers are decided one by one; the first one, which holds a pod's namespaces, has no name and is never measured."""
    own = make(Wanted(("shop",), (), ("app",)))
    path, other = own.pod(1, "shop", "web-1", A, B, C), own.pod(2, "bank", "web-1", A)
    own.known |= {A: Pod(namespace="shop", name="web-1", container="app"), B: Pod(namespace="shop", name="web-1", container="proxy")}
    own.known.pop(A)
    own.selection.look()
    assert [own.verdict(*path, name) for name in (A, B, C)] == ["undecided", "unwanted", "undecided"]

    own.known[A] = Pod(namespace="shop", name="web-1", container="app")
    own.selection.settle()
    assert [own.verdict(*path, name) for name in (A, B, C)] == ["wanted", "unwanted", "undecided"]
    assert own.verdict(*own.make(*path, A, "nested")) == "wanted"
    assert own.verdict(*other) == "unwanted"


def test_a_container_made_later(make: Make) -> None:
    """Containers count as cgroups of their own only where they are asked for; what is inside of one is no container of the pod."""
    own = make(Wanted((), (), ("app",)))
    path = own.pod(1, "shop")
    own.known[A] = own.known[B] = Pod(namespace="shop", name="web-1", container="app")
    own.selection.look()
    inner = own.make(*path, A, B)
    own.selection.made(own.id(path), path)
    own.selection.made(own.id((*path, A)), (*path, A))
    own.selection.made(own.id(inner), inner)

    assert own.selection.verdicts() == {own.id(PODS): "undecided", own.id(path): "undecided", own.id((*path, A)): "wanted"}


def test_what_is_gone_is_forgotten_after_a_minute(make: Make) -> None:
    """The verdict outlives the cgroup for what it left behind, and goes then."""
    own = make(Wanted(("shop",)))
    path = own.pod(1, "shop")
    own.selection.look()
    number = own.id(path)
    (own.point / Path(*path)).rmdir()
    for _ in range(30):
        own.selection.look()
    assert own.verdicts[number] == "wanted"
    own.selection.look()

    assert number not in own.verdicts
    assert own.selection.counts()["wanted"] == 0


def test_no_room(make: Make) -> None:
    """What there is no room for is counted, stays undecided, and gets the room of another that is gone."""
    own = make(Wanted(("shop",)), room=2)
    first = own.pod(1, "shop")
    own.selection.look()
    second = own.pod(2, "shop")
    own.selection.look()
    assert own.selection.counts() == {"wanted": 1, "unwanted": 0, "undecided": 0, "no_room": 1}
    assert own.verdict(*second) == "undecided"

    (own.point / Path(*first)).rmdir()
    for _ in range(32):
        own.selection.look()
    assert own.verdict(*second) == "wanted"
    assert own.selection.counts()["no_room"] == 0


def test_the_parent_is_made_anew(make: Make) -> None:
    """Where pods lie is undecided also when that cgroup was removed and made again."""
    own = make(Wanted(("shop",)))
    path = own.pod(1)
    own.selection.look()
    before = own.id(PODS)
    for depth in (3, 2):
        (own.point / Path(*path[:depth])).rmdir()
    own.make("keeps", "the", "number")
    own.make(*PODS)
    own.selection.look()

    assert own.verdicts[own.id(PODS)] == "undecided"
    assert own.id(PODS) == before or before not in own.verdicts
