"""Pods of a cluster: real cgroups named as the kubelet names them, real reads, and an API server that tells the names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import NODE, TOKEN, ApiServer, in_a_thread, pod
from tests.kernel.support import OPERATIONS, PATIENCE, Group, Page, RunningAgent, agent, closed_ledger, owner_tree, remove, scrape, wait

READS = 7
PODS, AT_ONCE, LIFE = 200, 50, 2.0

_numbers = count(os.getpid() << 16)


@dataclass(frozen=True)
class Container:
    """A container in a pod, with its cgroup."""

    uid: str
    id: str
    group: Group


@dataclass(frozen=True)
class Cluster:
    """An agent of a node, and the API server that it asks. ``tell`` changes the server."""

    agent: RunningAgent
    server: ApiServer
    tell: Callable[..., object]


@contextmanager
def cluster(folder: Path, *flags: str, **how: Any) -> Iterator[Cluster]:
    """An agent, started so, that watches the pods of a server without any."""
    token = folder / "token"
    token.write_text(TOKEN)
    with in_a_thread([]) as (url, server, loop):
        own = (f"--kubernetes.api-server={url}", f"--kubernetes.token-file={token}", f"--kubernetes.node-name={NODE}")
        with agent(folder, *own, "--kubernetes.enabled=on", *flags, **how) as running:
            _until(running, lambda page: page.total("perflens_kubernetes_watch_up") == 1, "the pods are watched")
            yield Cluster(running, server, loop.call_soon_threadsafe)


def _until(running: RunningAgent, condition: Callable[[Page], bool], what: str, seconds: float = 20) -> Page:
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition(page := scrape(running.url)):
        assert time.monotonic() < deadline, f"not in time: {what}\n{running.log.read_text()[-2000:]}"
        time.sleep(0.1)
    return page


@contextmanager
def pods() -> Iterator[Path]:
    """The cgroup of all pods."""
    folder = owner_tree() / "kubepods" / "burstable"
    made = [own for own in (folder.parent, folder) if not own.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        for own in reversed(made):
            remove(own)


def start(below: Path) -> Container:
    """The cgroups of a pod with one container."""
    number = next(_numbers)
    uid, identity = f"{number:08x}-0000-4000-8000-{number:012x}", f"{number:064x}"
    folder = below / f"pod{uid}" / identity
    folder.mkdir(parents=True)
    return Container(uid, identity, Group(folder))


def end(own: Container) -> None:
    """Both are removed, as when a pod ends."""
    remove(own.group.folder)
    remove(own.group.folder.parent)


def read(file: Path, life: float = 0.0) -> Callable[[], None]:
    """A process that reads, and lives a while."""
    fd = os.open(file, os.O_RDONLY)

    def work() -> None:
        for _ in range(READS):
            os.pread(fd, 1, 0)
        time.sleep(life)

    return work


def reads(page: Page) -> dict[tuple[str, ...], int]:
    """The reads of pods, by the values of the owner's labels."""
    found: dict[tuple[str, ...], int] = {}
    for (name, pairs), value in page.samples.items():
        labels = dict(pairs)
        of_pod = labels.get("namespace") or labels.get("workload", "").startswith("Pod/")
        if name == f"{OPERATIONS}_count" and labels["operation"] == "read" and of_pod:
            key = tuple(labels[own] for own in ("namespace", "workload", "pod", "container") if own in labels)
            found[key] = found.get(key, 0) + int(value)
    return found


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_pods_of_a_workload_that_live_two_seconds(tmp_path: Path, data_file: Path) -> None:
    """200 pods of a job are one series that has every read and never falls, though each pod and its cgroups are gone.

    Half of them the API server tells of only once they are gone, and all of them it forgets at once.
    """
    work, seen = read(data_file, LIFE), 0
    with cluster(tmp_path) as own, pods() as below:
        for first in range(0, PODS, AT_ONCE):
            batch = [start(below) for _ in range(AT_ONCE)]
            told = [pod(f"batch-{first + at}", each.uid, owner=("batch/v1", "Job", "batch")) for at, each in enumerate(batch)]
            own.tell(own.server.put, *told[::2])
            wait(*[each.group.run(work) for each in batch])
            for each in batch:
                end(each)
            own.tell(own.server.put, *told[1::2])
            own.tell(own.server.delete, *(each.uid for each in batch))
            now = reads(scrape(own.agent.url)).get(("shop", "Job/batch"), 0)
            assert now >= seen
            seen = now
        _until(own.agent, lambda page: reads(page) == {("shop", "Job/batch"): PODS * READS}, f"{PODS * READS} reads in one series")
        page = closed_ledger(own.agent.url)
        assert reads(page) == {("shop", "Job/batch"): PODS * READS}
        assert page.total("perflens_kubernetes_names_unresolved_total") == 0
        back = _until(own.agent, lambda page: page.total("perflens_owners") < 40, "the owners are forgotten", 40)
        assert reads(back) == {("shop", "Job/batch"): PODS * READS}
        assert [int(back.total("perflens_kubernetes_pods", state=state)) for state in ("living", "dead")] == [0, PODS]


def test_containers_by_name(tmp_path: Path, data_file: Path) -> None:
    """At the level of containers each has a series with its names, and what is in no pod the name of its unit."""
    work = read(data_file)
    with cluster(tmp_path, "--owner.level=container") as own, pods() as below:
        web, other = start(below), start(below)
        containers = {"app": web.id}
        own.tell(own.server.put, pod("web-7d9-x", web.uid, owner=("apps/v1", "StatefulSet", "web"), containers=containers))
        wait(web.group.run(work), other.group.run(work))
        page = _until(own.agent, lambda page: ("shop", "StatefulSet/web", "web-7d9-x", "app") in reads(page), "the container has a name")
        assert reads(page) == {("shop", "StatefulSet/web", "web-7d9-x", "app"): READS}
        found = [dict(pairs) for (name, pairs), _ in page.samples.items() if name == f"{OPERATIONS}_count"]
        units = {labels["workload"] for labels in found if not labels["pod"]}
        assert units
        assert all(unit.startswith("Unit/") or unit in ("other", "unknown") for unit in units)

        page = _until(own.agent, lambda page: len(reads(page)) == 2, "a pod that nobody knows is named by its ids")
        assert reads(page) == {
            ("shop", "StatefulSet/web", "web-7d9-x", "app"): READS,
            ("", f"Pod/{other.uid}", other.uid, other.id[:12]): READS,
        }
        assert page.total("perflens_kubernetes_names_unresolved_total", of="pod") == 1
        end(web)
        end(other)


def _verdicts(page: Page) -> dict[str, int]:
    found = {dict(pairs)["verdict"]: int(value) for (name, pairs), value in page.samples.items() if name == "perflens_filter_cgroups"}
    return {verdict: count for verdict, count in found.items() if count}


def _outcomes(running: RunningAgent) -> dict[str, int]:
    page = closed_ledger(running.url)
    names = ("undecided", "filtered", "aggregated")
    return {name: int(page.total("perflens_probe_operations_total", probe="file", outcome=name)) for name in names}


def test_filter_by_namespace(rung: str, tmp_path: Path, data_file: Path) -> None:
    """Pods of a namespace are measured from when their name is known; what they did before is undecided, what others do filtered."""
    work = read(data_file)
    flags = ("--filter.namespace=sh*", "--owner.level=pod", f"--probes.file.attach={rung}")
    with cluster(tmp_path, *flags) as own, pods() as below:
        late, other = start(below), start(below)
        own.tell(own.server.put, pod("db-0", other.uid, namespace="bank"))
        _until(own.agent, lambda page: _verdicts(page) == {"undecided": 1, "unwanted": 1}, "one is unwanted and one undecided")
        before = _outcomes(own.agent)
        wait(late.group.run(work))
        undecided = _outcomes(own.agent)
        wait(other.group.run(work))
        filtered = _outcomes(own.agent)
        assert undecided["undecided"] - before["undecided"] >= READS
        assert filtered["filtered"] - undecided["filtered"] >= READS
        assert filtered["undecided"] == undecided["undecided"]
        assert filtered["aggregated"] == 0

        own.tell(own.server.put, pod("web-0", late.uid))
        _until(own.agent, lambda page: _verdicts(page) == {"unwanted": 1, "wanted": 1}, "the name is known")
        wait(late.group.run(work))
        page = _until(own.agent, lambda page: bool(reads(page)), "the pod has a series")
        assert reads(page) == {("shop", "Pod/web-0", "web-0"): READS}
        assert _outcomes(own.agent)["undecided"] == undecided["undecided"]

        early = start(below)
        own.tell(own.server.put, pod("web-1", early.uid))
        _until(own.agent, lambda page: _verdicts(page) == {"unwanted": 1, "wanted": 2}, "a new pod is wanted")
        for each in (late, other, early):
            end(each)


def test_filter_by_container(tmp_path: Path, data_file: Path) -> None:
    """Of the containers of a pod the one with the name is measured."""
    with cluster(tmp_path, "--filter.container=app", "--owner.level=container") as own:
        one_of_two_containers(own, read(data_file))


def one_of_two_containers(own: Cluster, work: Callable[[], None]) -> None:
    """What an agent makes of two of them that do the same, if its filter wants ``app``."""
    with pods() as below:
        wanted, unwanted = start(below), start(below)
        for name, each in (("app", wanted), ("proxy", unwanted)):
            own.tell(own.server.put, pod(f"web-{name}", each.uid, containers={name: each.id}))
        _until(own.agent, lambda page: _verdicts(page) == {"undecided": 2, "unwanted": 1, "wanted": 1}, "both containers are decided")
        wait(unwanted.group.run(work), wanted.group.run(work))
        page = _until(own.agent, lambda page: bool(reads(page)), "the container has a series")
        assert reads(page) == {("shop", "Pod/web-app", "web-app", "app"): READS}
        for each in (wanted, unwanted):
            end(each)


def test_a_server_that_is_down(tmp_path: Path, data_file: Path) -> None:
    """Without its API server the agent goes on: pods have their ids, the metric says it, and the log once."""
    (tmp_path / "token").write_text(TOKEN)
    flags = ("--kubernetes.api-server=http://127.0.0.1:1", f"--kubernetes.token-file={tmp_path}/token", f"--kubernetes.node-name={NODE}")
    with agent(tmp_path, *flags) as running, pods() as below:
        own = start(below)
        wait(own.group.run(read(data_file)))
        page = _until(running, lambda page: bool(reads(page)), "the pod has an id")
        assert reads(page) == {("", f"Pod/{own.uid}"): READS}
        assert page.total("perflens_kubernetes_watch_up") == 0
        assert page.total("perflens_kubernetes_errors_total", reason="connection") > 2
        assert running.log.read_text().count("pods cannot be watched") == 1
        end(own)
