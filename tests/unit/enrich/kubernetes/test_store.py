"""enrich/kubernetes/store.py: pods that live, and those that lived a while ago."""

from __future__ import annotations

import pytest

from perflens.enrich.kubernetes.objects import NO_CONTROLLER, PodFacts
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.model import Pod

ID, LAST = "a" * 64, "b" * 64


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> PodStore:
    return PodStore(600.0, clock, most_dead=3)


def known(uid: str, name: str = "web-1", **containers: str) -> Known:
    return Known(PodFacts(uid, "shop", name, "node-1", NO_CONTROLLER, "", False, containers), "Deployment/web")


def test_names(store: PodStore) -> None:
    """A pod has its names, and its containers those that are known."""
    store.put(known("u1", **{ID: "app"}))

    assert store.find("u1", ID) == Pod("u1", ID, "shop", "web-1", "Deployment/web", "app")
    assert store.find("u1", LAST) == Pod("u1", LAST, "shop", "web-1", "Deployment/web", "")
    assert store.find("u2", ID) is None


def test_what_is_missed(store: PodStore) -> None:
    """Who looks for a pod or a container that has no name is told of, and a pod alone that is known is not."""
    missed = list[tuple[str, str]]()
    store.missed = lambda *what: missed.append(what)
    store.put(known("u1", **{ID: "app"}))
    for uid, number in (("u1", ""), ("u1", ID), ("u1", LAST), ("u2", ""), ("u2", ID)):
        store.find(uid, number)

    assert missed == [("u1", LAST), ("u2", ""), ("u2", ID)]
    assert [facts.uid for facts in store.living()] == ["u1"]


def test_a_pod_that_is_gone_is_remembered(store: PodStore, clock: Clock) -> None:
    """A pod that was deleted keeps its names, with the containers it had last and before, for its time."""
    store.put(known("u1", **{ID: "app"}))
    store.remove(known("u1", **{LAST: "app"}).facts)
    assert store.counts() == {"living": 0, "dead": 1}
    assert store.find("u1", ID) == Pod("u1", ID, "shop", "web-1", "Deployment/web", "app")
    assert store.find("u1", LAST) == Pod("u1", LAST, "shop", "web-1", "Deployment/web", "app")

    clock.now += 601
    store.put(known("u2", "web-2"))
    store.remove(known("u2", "web-2").facts)
    assert store.find("u1", ID) is None
    assert (store.counts(), store.evicted) == ({"living": 0, "dead": 1}, 0)


def test_the_dead_are_bounded(store: PodStore) -> None:
    """Of more than there is room for the oldest are forgotten, and counted."""
    for number in range(5):
        store.put(known(f"u{number}", f"web-{number}"))
        store.remove(known(f"u{number}", f"web-{number}").facts)

    assert [store.find(f"u{number}", "") is None for number in range(5)] == [True, True, False, False, False]
    assert store.evicted == 2


def test_a_list_is_all_there_is(store: PodStore) -> None:
    """What a list lacks is gone; what it has is there."""
    store.put(known("u1", "web-1"))
    store.put(known("u2", "web-2"))
    store.replace([known("u2", "web-2", **{ID: "app"}), known("u3", "web-3")])

    assert store.counts() == {"living": 2, "dead": 1}
    assert [own.name for uid in ("u1", "u2", "u3") if (own := store.find(uid, ID))] == ["web-1", "web-2", "web-3"]
    assert store.find("u2", ID) == Pod("u2", ID, "shop", "web-2", "Deployment/web", "app")


def test_no_pod_takes_the_place_of_another(store: PodStore) -> None:
    """A pod of another name with the uid of one that lives changes nothing, nor does its end."""
    store.put(known("u1", "web-1"))
    store.put(known("u1", "evil"))
    store.remove(known("u1", "evil").facts)

    found = store.find("u1", "")
    assert found
    assert found.name == "web-1"
    assert store.workload(known("u1", "evil").facts) == ""
    assert store.workload(known("u1", "web-1").facts) == "Deployment/web"


def test_a_pod_comes_back(store: PodStore) -> None:
    """A pod that a list lacked and that is told of again lives."""
    store.put(known("u1"))
    store.replace([])
    store.put(known("u1"))

    assert store.counts() == {"living": 1, "dead": 0}
