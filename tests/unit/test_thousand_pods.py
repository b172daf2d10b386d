"""A node of 1,000 pods with 3 containers each, while the pods of a job come and go: what is counted, shown and kept in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perflens.agent import Agent, running
from perflens.config import Settings
from perflens.config.settings import Analyzer, Kubernetes, OwnerSettings
from perflens.config.settings import Path as Paths
from perflens.enrich.kubernetes.objects import NO_CONTROLLER, PodFacts
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.export.prometheus.page import Query
from perflens.kernel.features import inspect
from perflens.probes.file import PROBE
from perflens.testing import FakeCells
from tests.kernel.support import Page

PODS, CONTAINERS = 1_000, ("app", "proxy", "logs")
WORKLOADS = 100
JOB_PODS, AT_ONCE, LIFE = 200, 10, 2.0
READS = 3
COUNT = "perflens_file_operation_duration_seconds_count"
OF_A_SERIES, OF_A_POD, OF_A_DEAD_POD, RESERVED = 2_400, 8_000, 3_000, 12_000  # bytes, as docs/memory.md and the chart say


class Tree:
    """Every cgroup that is not gone is there."""

    usable = searchable = True
    point = "/"

    def __init__(self) -> None:
        self.gone: set[int] = set()

    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool:
        return cgroup_id in self.gone

    def find(self, cgroup_id: int) -> None:
        return None


class Node:
    """An agent of a node whose kernel side is memory of this process; its pods have cgroups with numbers of their own."""

    def __init__(self, level: str, folder: Path) -> None:
        (folder / "token").write_text("x")
        cluster = Kubernetes("on", node_name="node-1", api_server="http://127.0.0.1:1", token_file=f"{folder}/token")
        settings = Settings(owner=OwnerSettings(level), kubernetes=cluster, analyzer=Analyzer(enabled=False))  # type: ignore[arg-type]
        self.limit, self.now, self.tree = settings.series.limit, 100.0, Tree()
        self.cells = FakeCells("file", PROBE, cells=settings.cells, shards=1)
        host: Any = replace(inspect(), sees_all_processes=False)
        self.agent = Agent(replace(settings, path=Paths(procfs=str(folder))), host, {"file": PROBE}, self.tree)  # type: ignore[arg-type]
        assert isinstance(self.agent.cluster.pods, PodStore)
        self.store = self.agent.cluster.pods
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "attach", lambda *_, **__: self.cells)
            self.agent.start()
        self.family = self.agent.running[0].family

    def pod(self, number: int, workload: str) -> PodFacts:
        """A pod begins; the API server tells its names."""
        containers = {f"{number:060x}{place:04x}": name for place, name in enumerate(CONTAINERS)}
        uid, volumes = f"{number:08x}-0000-4000-8000-{number:012x}", {"data": "", "config": "", "token": ""}
        facts = PodFacts(uid, "shop", f"{workload.partition('/')[2]}-{number}", "node-1", NO_CONTROLLER, "", False, containers, volumes)
        self.store.put(Known(facts, workload))
        return facts

    def read(self, number: int, pod: PodFacts) -> None:
        """Each of its containers reads."""
        for place, container in enumerate(pod.containers):
            for _ in range(READS):
                path = ("kubepods", "burstable", f"pod{pod.uid}", container)
                self.cells.record(number * len(CONTAINERS) + place + 100, "ext4", 0, 1_000, path)

    def end(self, number: int, pod: PodFacts) -> None:
        """It ends: its cgroups are gone, and then the server deletes it."""
        self.tree.gone.update(number * len(CONTAINERS) + place + 100 for place in range(len(CONTAINERS)))
        self.store.remove(pod)

    def later(self, seconds: float) -> None:
        """Time passes, with the upkeep every two seconds."""
        for _ in range(int(seconds / 2)):
            self.now += 2
            self.agent.maintain()

    def reads(self, **labels: str) -> int:
        """The reads with these labels, on the page as it is."""
        return int(self.page().total(COUNT, operation="read", **labels))

    def page(self) -> Page:
        return Page(self.agent.page.render(Query()).decode())


Start = Callable[[str], Node]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    made: list[Node] = []

    def node(level: str) -> Node:
        made.append(Node(level, tmp_path))
        clock = SimpleNamespace(monotonic=lambda: made[-1].now, monotonic_ns=lambda: int(made[-1].now * 10**9), time=lambda: made[-1].now)
        monkeypatch.setattr("perflens.agent.core.time", clock)
        return made[-1]

    yield node
    for own in made:
        own.agent.explainer.close()
        own.agent.drainer.shutdown()
        own.agent.worker.shutdown()


def fill(node: Node) -> None:
    """The pods that stay."""
    for number in range(PODS - AT_ONCE):
        node.read(number, node.pod(number, f"Deployment/web-{number % WORKLOADS}"))
    node.later(2)


def churn(node: Node) -> Iterator[int]:
    """The pods of a job, some at a time, live two seconds each, and read up to their end; yield how many there were."""
    for first in range(PODS, PODS + JOB_PODS, AT_ONCE):
        batch = [(number, node.pod(number, "Job/batch")) for number in range(first, first + AT_ONCE)]
        for number, pod in batch:
            node.read(number, pod)
        node.later(LIFE)
        for number, pod in batch:
            node.end(number, pod)
            node.read(number, pod)  # the last ones, told after the end
        yield first + AT_ONCE - PODS


def test_by_workload(start: Start) -> None:
    """The job is one series that has every read of its pods and never falls, and nothing of them is left in the end."""
    node = start("workload")
    fill(node)
    before = node.agent.status()
    seen = [node.reads(workload="Job/batch") for _ in churn(node)]
    node.later(30)
    after = node.agent.status()

    assert seen == sorted(seen)
    assert node.reads(workload="Job/batch") == JOB_PODS * len(CONTAINERS) * READS * 2
    assert node.reads() == ((PODS - AT_ONCE) + 2 * JOB_PODS) * len(CONTAINERS) * READS
    assert after.series["perflens_file_operation_duration_seconds"] == before.series["perflens_file_operation_duration_seconds"] + 1
    assert after.owners == before.owners == (PODS - AT_ONCE) * len(CONTAINERS)
    assert after.cells["file"][0] == before.cells["file"][0]
    assert after.series_dropped["perflens_file_operation_duration_seconds"] == 0
    assert after.ledgers["file"].entered == sum(after.ledgers["file"].outcomes.values())
    assert after.kubernetes
    assert after.kubernetes.pods == {"living": PODS - AT_ONCE, "dead": JOB_PODS}
    assert dict(after.kubernetes.unresolved) == {"pod": 0, "container": 0}


def test_by_container_within_the_caps(start: Start) -> None:
    """More containers than series: no metric has more than its limit, and what is above it is counted under `other`, all of it."""
    node = start("container")
    fill(node)
    assert list(churn(node))[-1] == JOB_PODS
    node.later(30)
    status, metric = node.agent.status(), "perflens_file_operation_duration_seconds"

    assert status.series[metric] <= node.limit + len(node.cells.operations)  # those of `other`
    assert status.series_dropped[metric] > 0
    assert status.ledgers["file"].outcomes["other"] > 0
    assert node.reads() == ((PODS - AT_ONCE) + 2 * JOB_PODS) * len(CONTAINERS) * READS
    assert status.ledgers["file"].entered == sum(status.ledgers["file"].outcomes.values())


def test_the_dead_keep_their_names(start: Start) -> None:
    """The last reads of containers that are gone, and whose pod was deleted before anybody asked, have their names."""
    node = start("container")
    pods = [(number, node.pod(number, "Job/batch")) for number in range(AT_ONCE)]
    for number, pod in pods:
        node.end(number, pod)
        node.read(number, pod)
    node.later(30)
    shown = {(labels["pod"], labels["container"]) for labels in _labels(node.page()) if labels["namespace"] == "shop"}

    assert shown == {(f"batch-{number}", name) for number in range(AT_ONCE) for name in CONTAINERS}
    assert node.reads(namespace="shop") == AT_ONCE * len(CONTAINERS) * READS


def _labels(page: Page) -> list[dict[str, str]]:
    return [dict(pairs) for (name, pairs) in page.samples if name == COUNT]


@pytest.mark.parametrize("level", ["workload", "container"])
def test_memory(start: Start, level: str) -> None:
    """Pods and series take what docs/memory.md says, and those that come and go no more than the names of the dead."""
    node = start(level)
    tracemalloc.start()
    try:
        began, _ = tracemalloc.get_traced_memory()
        fill(node)
        filled, _ = tracemalloc.get_traced_memory()
        assert list(churn(node))[-1] == JOB_PODS
        node.later(30)
        ended, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    series = node.agent.status().series["perflens_file_operation_duration_seconds"]

    assert filled - began < PODS * OF_A_POD + series * OF_A_SERIES
    assert ended - filled < JOB_PODS * OF_A_DEAD_POD + 2 * AT_ONCE * OF_A_POD
    assert ended - began < node.limit * RESERVED
