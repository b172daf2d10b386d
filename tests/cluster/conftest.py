"""A cluster with the image in it, the Prometheus operator and a release of the chart, once for all tests."""

from __future__ import annotations

import gzip
import os
import shutil
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.chart import IMAGE, Release, installed
from tests.cluster.files import API
from tests.cluster.node import Cluster, cluster
from tests.servers import Prometheus, component, configured_prometheus, server, wait_for

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it is left to its own target."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.components("test-cluster"))
            item.add_marker(pytest.mark.timeout(1800))  # the first one builds what it takes


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node that has the image which deploy/Dockerfile makes."""
    missing = [tool for tool in ("ip", "curl", "openssl", "debootstrap") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(missing) or 'root'}")
    archive = tmp_path_factory.mktemp("image") / "perflens.tar"
    component("image", "--archive", archive, "--tag", IMAGE)
    with cluster(tmp_path_factory.mktemp("cluster"), component("kubernetes"), component("container-runtime")) as found:
        found.load(archive)
        yield found


@pytest.fixture(scope="session")
def operator(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, with the Prometheus operator at work."""
    definitions, log = component("operator"), tmp_path_factory.mktemp("operator") / "log"
    node.kubectl("apply", "--server-side", f"--filename={definitions}")
    pair = node.authority.issue("operator")
    node.permit("operator", "cluster-admin")
    files = {"ca-file": node.folder / "certificates/apiserver.crt", "cert-file": pair.certificate, "key-file": pair.key}
    command = [str(component("prometheus-operator")), f"--apiserver={API}", "--web.listen-address=127.0.0.1:0"]
    command += [f"--{name}={file}" for name, file in files.items()]
    with server(command, log, "(starting insecure server)", environment=node.environment):
        yield node


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm itself."""
    return component("helm")


@pytest.fixture(scope="session")
def release(operator: Cluster, helm: Path) -> Iterator[Release]:
    """The chart with a monitor for the operator, and series for each container."""
    with installed(operator, helm, "perflens", "--set=config.owner.level=container", "--set=podMonitor.enabled=true") as found:
        yield found


@pytest.fixture(scope="session")
def prometheus(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus, with what the operator makes of the chart's monitor."""
    spec = {"replicas": 0, "scrapeInterval": "2s", "podMonitorSelector": {}, "podMonitorNamespaceSelector": {}}
    metadata = {"name": "main", "namespace": "default"}
    release.cluster.apply({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": metadata, "spec": spec})
    config = wait_for(lambda: _made_by_operator(release.cluster), 180, "the operator has made a configuration", 1)
    for found in (found for job in config["scrape_configs"] for found in job["kubernetes_sd_configs"]):
        found["kubeconfig_file"] = str(release.cluster.kubeconfig)
    with configured_prometheus(component("prometheus"), tmp_path_factory.mktemp("prometheus"), config) as own:
        yield own


def _made_by_operator(own: Cluster) -> dict[str, Any] | None:
    """The configuration of Prometheus, once it has the chart's monitor."""
    name = "secret/prometheus-main"
    if not own.kubectl("get", name, "--ignore-not-found"):
        return None
    text = gzip.decompress(b64decode(own.get(name)["data"]["prometheus.yaml.gz"])).decode()
    for variable, value in (("SHARD", "0"), ("POD_NAME", "prometheus-main-0")):  # as the operator's reloader does in the pod
        text = text.replace(f"$({variable})", value)
    config: dict[str, Any] = yaml.safe_load(text)
    return {"global": config["global"], "scrape_configs": config["scrape_configs"]} if config["scrape_configs"] else None
