"""enrich/kubernetes/kubelet.py: the pods as a server tells them that stands in for the kubelet, with its faults."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from perflens.enrich.kubernetes import kubelet, server
from perflens.enrich.kubernetes.kubelet import KubeletPods
from perflens.enrich.kubernetes.place import kubelet_of
from perflens.enrich.kubernetes.store import PodStore
from perflens.model import KubernetesCounts
from tests.api_server import NODE, TOKEN, pod
from tests.certificates import Authority
from tests.kubelet_server import Kubelet, serving, static_pod

A, B = "a" * 64, "b" * 64
HASH = "0123456789abcdef0123456789abcdef"
UID = "00000000-0000-4000-8000-{:012d}".format
TELLS, DOES_NOT = "the kubelet tells its pods", "the kubelet does not tell its pods: series of new pods carry ids"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@dataclass
class Own:
    """A kubelet that is asked, as often as it can be unless ``every`` says otherwise; every rest of a length that was set is noted."""

    kubelet: Kubelet
    store: PodStore
    source: KubeletPods
    token: Path
    pauses: list[float] = field(default_factory=list)

    @property
    def counts(self) -> KubernetesCounts:
        return self.source.counts({})

    @property
    def errors(self) -> dict[str, int]:
        return {reason: count for reason, count in self.counts.errors.items() if count}

    def names(self, *uids: str) -> list[str]:
        """``namespace/workload/pod`` by uid; empty for one that is not known."""
        found = [self.store.find(uid, "") for uid in uids]
        return [f"{own.namespace}/{own.workload}/{own.name}" if own else "" for own in found]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def answers(self, number: int) -> None:
        """Wait for so many more good answers."""
        last = self.counts.lists + number
        await self.until(lambda: self.counts.lists >= last)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "perflens"]


@asynccontextmanager
async def asking(
    folder: Path,
    authority: Authority,
    own: Kubelet,
    *,
    ca: str | None = None,
    verify: bool = True,
    every: float = 0.0,
    names: str = "IP:127.0.0.1",
) -> AsyncIterator[Own]:
    token, pauses = folder / "token", list[float]()
    token.write_text(TOKEN + "\n")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.001)

    async with serving(own, authority.issue(f"kubelet-{len(names)}", names)) as address:
        store = PodStore(600.0)
        place = kubelet_of(address, str(token), str(authority.certificate) if ca is None else ca, NODE, verify=verify)
        source = KubeletPods(place, store, sleep, lambda: 1.0, every)
        task = asyncio.create_task(source.run())
        try:
            yield Own(own, store, source, token, pauses)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()
            assert not source.counts({}).up


async def test_names(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Pods and their containers are named over TLS; workloads come from names, as the kubelet does not know what is above."""
    caplog.set_level(logging.INFO)
    own = Kubelet()
    replica = ("apps/v1", "ReplicaSet", "web-7d9")
    own.put(
        pod("web-7d9-1", UID(1), owner=replica, labels={"pod-template-hash": "7d9"}, containers={"app": A}),
        pod("web-7d9-2", UID(2), owner=replica),
        pod("sync-29384756-x", UID(3), owner=("batch/v1", "Job", "sync-29384756")),
    )
    async with asking(tmp_path, authority, own) as it:
        await it.answers(1)
        expected = ["shop/Deployment/web/web-7d9-1", "shop/ReplicaSet/web-7d9/web-7d9-2", "shop/CronJob/sync/sync-29384756-x"]
        assert it.names(UID(1), UID(2), UID(3)) == expected
        found = it.store.find(UID(1), A)
        assert found
        assert (found.container, it.counts.up, it.errors) == ("app", True, {})
        own.put(pod("web-7d9-2", UID(2), owner=replica, containers={"app": B}))
        await it.answers(2)
        found = it.store.find(UID(2), B)
        assert found
        assert (found.container, found.workload) == ("app", "ReplicaSet/web-7d9")
    assert [record.message for record in told(caplog)] == [TELLS]


async def test_who_wants_names_is_called_for_news_alone(tmp_path: Path, authority: Authority) -> None:
    """Answers that say nothing new call nobody."""
    own, called = Kubelet(), list[int]()
    own.put(pod("web-1", UID(1)), pod("web-2", UID(2)))
    async with asking(tmp_path, authority, own) as it:
        it.store.changed = lambda: called.append(it.kubelet.asked)
        await it.answers(4)
        assert len(called) == 2
        own.put(pod("web-3", UID(3)))
        await it.answers(3)
        assert len(called) == 3


@pytest.mark.parametrize("source", ["file", "http"])
async def test_static_pods(tmp_path: Path, authority: Authority, source: str) -> None:
    """A static pod has the hash that its cgroup is called after for a uid, and is a workload of its own, without the node's name."""
    own = Kubelet()
    own.put(static_pod("etcd", HASH, source, containers={"etcd": A}))
    async with asking(tmp_path, authority, own) as it:
        await it.answers(1)
        found = it.store.find(HASH, A)
        assert found
        assert found[2:] == ("kube-system", f"etcd-{NODE}", "Pod/etcd", "etcd")
        assert it.counts.refused == 0


async def test_pods_that_are_refused(tmp_path: Path, authority: Authority) -> None:
    """A pod of no file with a hash for a uid, one of another node and one without a proper name are left out and counted."""
    own = Kubelet()
    own.put(static_pod("fake", HASH, "api"), pod("a", UID(1), node="other"), pod("a\nb", UID(2)), pod("web", UID(3)))
    async with asking(tmp_path, authority, own) as it:
        await it.until(lambda: it.counts.pods["living"] == 1)
        assert it.names(HASH, UID(1), UID(2), UID(3)) == ["", "", "", "shop/Pod/web/web"]
        assert it.counts.refused % 3 == 0


async def test_a_pod_that_disappears(tmp_path: Path, authority: Authority) -> None:
    """One answer without a pod says little, two say that it is gone; its name is kept for what it did last."""
    own = Kubelet()
    own.put(pod("web-1", UID(1)), pod("web-2", UID(2)))
    async with asking(tmp_path, authority, own, every=60.0) as it:
        await it.answers(1)
        kept = own.pods.pop(UID(1))
        it.store.find(UID(8), "")
        await it.answers(1)
        assert it.counts.pods == {"living": 2, "dead": 0}
        own.put(kept)
        it.store.find(UID(8), "")
        await it.answers(1)
        del own.pods[UID(1)]
        for living in (2, 1):
            it.store.find(UID(9), "")
            await it.answers(1)
            assert it.counts.pods["living"] == living
        assert it.counts.pods["dead"] == 1
        assert it.names(UID(1), UID(2)) == ["shop/Pod/web-1/web-1", "shop/Pod/web-2/web-2"]


async def test_an_unknown_pod_is_asked_for_soon(tmp_path: Path, authority: Authority) -> None:
    """A name that is missing makes the next request early, and what nobody ever names does so a few times at most."""
    own = Kubelet()
    async with asking(tmp_path, authority, own, every=60.0) as it:
        await it.answers(1)
        own.put(pod("web-1", UID(1)))
        await asyncio.sleep(0.05)
        assert own.asked == 1
        await it.until(lambda: it.names(UID(1)) != [""])
        assert own.asked == 2
        await it.until(lambda: it.store.find(UID(1), A) is not None and own.asked == 7)
        for _ in range(50):
            it.store.find(UID(1), A)
            await asyncio.sleep(0.002)
        assert own.asked == 7
        assert set(it.pauses) == {1.0}


@pytest.mark.parametrize(("every", "least"), [(60.0, 5.0), (2.0, 2.0)])
async def test_answers_that_take_long_to_read(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, every: float, least: float
) -> None:
    """Where reading an answer takes 0.1 s of a CPU, the next one is asked for 5 s later at the soonest, or in time for the usual one."""
    seconds = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(seconds) / 10)
    async with asking(tmp_path, authority, Kubelet(), every=every) as it:
        await it.answers(1)
        it.store.find(UID(1), "")
        await it.answers(1)
        assert {round(own, 3) for own in it.pauses} == {least}


async def test_a_token_that_is_rotated(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A token that is refused is told once with the cure, without a trace, and the new one counts as soon as it is there."""
    caplog.set_level(logging.INFO)
    own = Kubelet(tokens={"eyJ.second"})
    own.put(pod("web-1", UID(1)))
    async with asking(tmp_path, authority, own) as it:
        await it.until(lambda: it.errors.get("unauthorized", 0) > 2)
        assert not it.counts.up
        it.token.write_text("eyJ.second")
        await it.answers(1)
        assert it.names(UID(1)) == ["shop/Pod/web-1/web-1"]
        own.tokens = {"eyJ.third"}
        it.token.write_text("eyJ.third")
        await it.answers(2)
        assert it.counts.up
    warning, news = told(caplog)[:2]
    assert (warning.message, warning.exc_info, news.message) == (DOES_NOT, None, TELLS)
    about: dict[str, Any] = warning.fields
    assert (about["reason"], about["status"], "kubernetes.token_file" in about["cure"]) == ("unauthorized", 401, True)


FAULTS = {
    "403": ("forbidden", 403, "let the service account get nodes/pods"),
    "500": ("status", 500, "look whether the kubelet can be reached"),
    "garbage": ("decode", 0, ""),
    "odd": ("decode", 0, ""),
    "deep": ("decode", 0, ""),
    "cut": ("connection", 0, ""),
    "huge": ("size", 200, ""),
    "hang": ("timeout", 0, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults(
    tmp_path: Path, authority: Authority, fault: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that fails is counted by its reason, told once, and made again after growing pauses; what was known stays."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(server, "LARGEST_ANSWER", 2 << 20)
    monkeypatch.setattr(kubelet, "_ANSWER_SECONDS", 0.3 if fault == "hang" else 10.0)
    own = Kubelet(faults=["", *[fault] * 4])
    own.put(pod("web-1", UID(1)))
    async with asking(tmp_path, authority, own) as it:
        await it.until(lambda: it.counts.lists >= 2)
        reason, status, cure = FAULTS[fault]
        assert it.errors == {reason: 4}
        assert it.pauses[1:5] == [1.0, 2.0, 4.0, 8.0]
        assert it.names(UID(1)) == ["shop/Pod/web-1/web-1"]
        assert it.counts.up
    assert [record.message for record in told(caplog)] == [TELLS, DOES_NOT, TELLS]
    about: dict[str, Any] = told(caplog)[1].fields  # type: ignore[attr-defined]
    assert (about["reason"], about["status"], cure in about["cure"]) == (reason, status, True)


async def test_a_name_that_is_wanted_during_an_outage(tmp_path: Path, authority: Authority) -> None:
    """Failures do not use up the tries, and what is wanted does not shorten pauses."""
    own = Kubelet(faults=["500"] * 9)
    async with asking(tmp_path, authority, own, every=60.0) as it:
        while it.counts.lists == 0:
            it.store.find(UID(1), "")
            await asyncio.sleep(0.001)
        assert it.pauses[:9] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        own.put(pod("web-1", UID(1)))
        await it.until(lambda: it.names(UID(1)) != [""])


async def test_a_kubelet_that_is_restarted(tmp_path: Path, authority: Authority) -> None:
    """A kubelet that has just begun tells no pods yet: they are not gone by that, and are there again with its next answer."""
    own = Kubelet()
    own.put(pod("web-1", UID(1)))
    async with asking(tmp_path, authority, own, every=60.0) as it:
        await it.answers(1)
        before, own.pods = own.pods, {}
        it.store.find(UID(9), "")
        await it.answers(1)
        own.pods = before
        it.store.find(UID(9), "")
        await it.answers(1)
        assert it.counts.pods == {"living": 1, "dead": 0}


async def test_the_certificate_of_another_authority(tmp_path: Path, authority: Authority) -> None:
    """A kubelet whose certificate another authority signed gets no token."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    own = Kubelet()
    async with asking(tmp_path, authority, own, ca=str(other.certificate)) as it:
        await it.until(lambda: it.errors.get("certificate", 0) > 2)
        assert (own.asked, it.counts.up) == (0, False)


async def test_a_certificate_for_another_address(tmp_path: Path, authority: Authority) -> None:
    """So does one whose certificate is for another address."""
    own = Kubelet()
    async with asking(tmp_path, authority, own, names="DNS:other.example") as it:
        await it.until(lambda: it.errors.get("certificate", 0) > 2)
        assert own.asked == 0


async def test_no_verification_when_asked_for(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Any certificate will do where the configuration says so, which is told."""
    own = Kubelet()
    own.put(pod("web-1", UID(1)))
    async with asking(tmp_path, authority, own, ca="/nowhere", verify=False, names="DNS:other.example") as it:
        await it.answers(1)
        assert it.names(UID(1)) == ["shop/Pod/web-1/web-1"]
    assert "the kubelet's certificate is not verified: whoever answers at its address gets the token" in caplog.text


async def test_a_bug_does_not_end_it(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody thought of is counted and logged, and the kubelet is asked again."""
    bugs, living = [RuntimeError("a bug")], PodStore.living

    def once(store: PodStore) -> Any:
        if bugs:
            raise bugs.pop()
        return living(store)

    monkeypatch.setattr(PodStore, "living", once)
    async with asking(tmp_path, authority, Kubelet()) as it:
        await it.answers(2)
        assert it.errors == {"internal": 1}
    assert "the kubelet's pods could not be taken in" in caplog.text
