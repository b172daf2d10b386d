"""Series carry the names of real pods, as a real Prometheus finds them through the chart's monitor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import Release
from tests.cluster.node import NODE, Cluster
from tests.cluster.workloads import NAMESPACE, WRITES, container, controlled, pod, work
from tests.integration.test_prometheus import assert_data, queries
from tests.kernel.support import OPERATIONS
from tests.servers import Prometheus, wait_for

COUNT = f"{OPERATIONS}_count"
# Owner as (workload, begin of the pod's name, container), of every kind of pod.
OWNERS = [
    ("Pod/plain", "plain", "app"),
    ("Pod/on-the-host", "on-the-host", "app"),
    ("Pod/begun", "begun", "first"),
    ("Pod/fixed", f"fixed-{NODE}", "app"),
    ("Pod/greedy", "greedy", "app"),
    ("Deployment/web", "web-", "app"),
    ("Deployment/squeezed", "squeezed-", "app"),
    ("StatefulSet/db", "db-0", "app"),
    ("DaemonSet/each", "each-", "app"),
    ("Job/batch", "batch-", "app"),
]


@pytest.fixture(scope="module")
def pods(release: Release, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Pods of every kind, begun while the agent runs: one is throttled by its quota, one is killed for its memory."""
    cluster, app = release.cluster, container("app", work())
    wait_for(lambda: prometheus.query("up == 1"), 60, "Prometheus scrapes the agent")
    cluster.kubectl("create", "namespace", NAMESPACE)
    fixed = cluster.static_pods / "fixed.yaml"
    fixed.write_text(yaml.safe_dump(pod("fixed", app)))
    folder = {"hostPath": {"path": str(tmp_path_factory.mktemp("volume"))}}
    cluster.apply(
        pod("plain", app),
        pod("on-the-host", app, folder),
        pod("begun", container("app", ["sleep", "3600"]), initContainers=[container("first", work("true"))]),
        pod("greedy", container("app", work("dd if=/dev/zero of=/dev/null bs=200M"), {"memory": "32Mi"}), restartPolicy="Never"),
        controlled("Deployment", "web", app),
        controlled("Deployment", "squeezed", container("app", work("while :; do :; done"), {"cpu": "50m"})),
        controlled("StatefulSet", "db", app, serviceName="db"),
        controlled("DaemonSet", "each", app),
        controlled("Job", "batch", container("app", work("true"))),
    )
    yield cluster
    fixed.unlink()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s")


@pytest.mark.parametrize(("workload", "name", "own"), OWNERS)
def test_owner(pods: Cluster, prometheus: Prometheus, workload: str, name: str, own: str) -> None:
    """Each write of the container is a series of its pod's names, and of no other."""
    labels = f'namespace="{NAMESPACE}",pod=~"{name}.*"'

    def counted(operation: str) -> list[tuple[str, str, str, str]]:
        series = prometheus.query(f'{COUNT}{{operation="{operation}",{labels}}}')
        found = [(*(one["metric"].get(label, "") for label in ("workload", "container", "node")), one["value"][1]) for one in series]
        return [one for one in found if one[-1] != "0"]

    wait_for(lambda: sum(int(one[-1]) for one in counted("write")) >= WRITES and counted("fsync"), 90, f"writes of {workload}", 1)
    assert counted("write") == [(workload, own, NODE, str(WRITES))]
    assert counted("fsync") == [(workload, own, NODE, "1")]


def test_limits_were_real(pods: Cluster) -> None:
    """The one pod was killed for its memory, the other has waited for its quota."""

    def state(name: str) -> object:
        (own,) = pods.get("pod", name, f"--namespace={NAMESPACE}")["status"]["containerStatuses"]
        return own["state"].get("terminated", {}).get("reason")

    wait_for(lambda: state("greedy") == "OOMKilled", 60, "the greedy one is killed", 1)
    uid = pods.get("pods", f"--namespace={NAMESPACE}", "--selector=app=squeezed")["items"][0]["metadata"]["uid"]
    texts = [file.read_text() for file in Path("/sys/fs/cgroup").glob(f"**/kubepods/**/pod{uid}/cpu.stat")]  # in each hierarchy
    assert max(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("nr_throttled")) > 0


@pytest.mark.usefixtures("pods")
def test_dashboards_show_the_watch(prometheus: Prometheus) -> None:
    """The panels of what only an agent in a cluster tells have data."""
    assert_data(prometheus, queries("classic", "perflens_kubernetes_"), 60)


def test_names_of_pods_that_come_after_the_api_server_was_away(pods: Cluster, prometheus: Prometheus) -> None:
    """The watch goes on when the API server is back, and says so meanwhile."""
    pods.stop("kube-apiserver")
    wait_for(lambda: prometheus.query("perflens_kubernetes_watch_up == 0"), 60, "the agent has no watch", 1)
    pods.start_api_server()
    wait_for(lambda: prometheus.query("perflens_kubernetes_watch_up == 1"), 60, "the agent watches again", 1)
    pods.apply(pod("later", container("app", work())))

    def counted() -> list[str]:
        series = prometheus.query(f'{COUNT}{{operation="write",workload="Pod/later",container="app"}}')
        return [one["value"][1] for one in series if int(one["value"][1]) >= WRITES]

    assert wait_for(counted, 120, "writes of a pod that came later", 1) == [str(WRITES)]
