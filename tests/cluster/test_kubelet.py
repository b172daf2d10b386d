"""Names from the kubelet alone, by a chart that may ask the API server for nothing."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.cluster.chart import CHART, installed
from tests.cluster.node import Cluster
from tests.cluster.workloads import WRITES, container, controlled, pod, work
from tests.kernel.support import OPERATIONS
from tests.servers import wait_for

COUNT = f"{OPERATIONS}_count"
NAME, NAMESPACE = "perflens-kubelet", "names"
WORKLOADS = ("Pod/plain", "Pod/fixed", "Deployment/web")


def test_names(node: Cluster, helm: Path) -> None:
    """With the chart's own example of values a pod, a static pod and that of a Deployment have their names."""
    values, app = CHART / "ci/kubelet-values.yaml", container("app", work())
    (volume,) = yaml.safe_load(values.read_text())["extraVolumes"]
    authority = {"ca.crt": node.authority.certificate.read_text()}
    node.apply(
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (NAME, NAMESPACE)),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**volume["configMap"], "namespace": NAME}, "data": authority},
    )
    with installed(node, helm, NAME, f"--values={values}") as release:
        fixed = node.static_pods / "named.yaml"
        fixed.write_text(yaml.safe_dump(pod("fixed", app, namespace=NAMESPACE)))
        node.apply(pod("plain", app, namespace=NAMESPACE), controlled("Deployment", "web", app, NAMESPACE))

        def counted() -> dict[str, int]:
            page = release.page()
            return {name: int(page.total(COUNT, namespace=NAMESPACE, workload=name, operation="write")) for name in WORKLOADS}

        wait_for(lambda: min(counted().values()) >= WRITES, 90, "writes of all", 1)
        assert counted() == dict.fromkeys(WORKLOADS, WRITES)
        fixed.unlink()
    node.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s")
