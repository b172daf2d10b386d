"""Many short-lived pods of one workload are one series, which never falls and misses none of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.chart import Release, installed
from tests.cluster.node import Cluster
from tests.cluster.workloads import WRITES, container, controlled, work
from tests.kernel.support import OPERATIONS
from tests.servers import Prometheus, component, running_prometheus, wait_for

NAME, NAMESPACE = "perflens-jobs", "jobs"
PODS, AT_ONCE, LIFE = 200, 10, 2
SERIES = f'{OPERATIONS}_count{{operation="write",workload="Job/short"}}'
WHOLE = "30m"


@pytest.fixture
def release(node: Cluster, helm: Path) -> Iterator[Release]:
    """The chart with the owners that it has by default: workloads."""
    with installed(node, helm, NAME) as found:
        node.kubectl("create", "namespace", NAMESPACE)
        yield found
        node.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def _values(prometheus: Prometheus, expression: str) -> list[float]:
    return [float(own["value"][1]) for own in prometheus.query(expression)]


def test_200_pods_of_a_job(release: Release, tmp_path: Path) -> None:
    """Each write of each pod is in the series of their workload, and `increase` tells it as exactly as Prometheus does."""
    short = container("app", work(f"sleep {LIFE}"))
    job = controlled("Job", "short", short, NAMESPACE, completions=PODS, parallelism=AT_ONCE)
    with running_prometheus(component("prometheus"), tmp_path / "prometheus", f"http://{release.address()}:9435/metrics") as prometheus:
        wait_for(lambda: prometheus.query("up == 1"), 60, "Prometheus scrapes the agent")
        release.cluster.apply(job)

        def succeeded() -> int:
            return int(release.cluster.get("job", "short", f"--namespace={NAMESPACE}")["status"].get("succeeded", 0))

        wait_for(lambda: succeeded() == PODS, 900, "all pods have run", 2)
        wait_for(lambda: max(_values(prometheus, SERIES), default=0) >= PODS * WRITES, 60, "writes of all pods", 1)

        (series,) = prometheus.query(SERIES)
        first, *_ = _values(prometheus, f"min_over_time({SERIES}[{WHOLE}])")
        increase, *_ = _values(prometheus, f"increase({SERIES}[{WHOLE}])")
        assert series["metric"]["namespace"] == NAMESPACE
        assert float(series["value"][1]) == PODS * WRITES
        assert _values(prometheus, f"resets({SERIES}[{WHOLE}])") == [0]
        # Prometheus does not count what a series begins with, and extends it at each end by half an interval of scrapes at most.
        assert PODS * WRITES - first <= increase <= (PODS * WRITES - first) * 1.02
        assert first <= AT_ONCE * WRITES
