"""agent/cluster.py: whether there is a cluster, and the level of owners that follows; agent/core.py: series of pods."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.agent.cluster import NoCluster, cluster_of, level_of
from perflens.config import Settings
from perflens.config.settings import Kubernetes, OwnerSettings
from perflens.errors import ConfigError

INSIDE = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "token").write_text("x")
    return str(tmp_path / "token")


def settings(level: str = "auto", **own: str) -> Settings:
    return Settings(owner=OwnerSettings(level), kubernetes=Kubernetes(**own))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("enabled", "environment", "node", "level"),
    [
        ("auto", INSIDE, "node-1", "workload"),
        ("on", INSIDE, "node-1", "workload"),
        ("off", INSIDE, "", "unit"),
        ("auto", {}, "", "unit"),
    ],
)
def test_in_a_cluster_or_not(token: str, enabled: str, environment: dict[str, str], node: str, level: str) -> None:
    """In a cluster, unless that is turned off, pods are watched and owners are workloads; elsewhere they are units."""
    own = settings(enabled=enabled, token_file=token, node_name="node-1")
    found = cluster_of(own, environment)

    assert (found.node, level_of(own, found)) == (node, level)
    assert (found.counts({}) is None) is (not node)
    assert level_of(replace(own, owner=OwnerSettings("pod")), found) == "pod"


def test_no_token_no_cluster(tmp_path: Path) -> None:
    """Where the service account's token is not mounted nothing is asked, unless it is turned on."""
    assert cluster_of(settings(token_file=f"{tmp_path}/none"), INSIDE).node == ""
    assert cluster_of(settings(enabled="on", token_file=f"{tmp_path}/none", node_name="n"), INSIDE).node == "n"


def test_on_without_a_server(token: str) -> None:
    """To be turned on it takes a server."""
    with pytest.raises(ConfigError) as caught:
        cluster_of(settings(enabled="on", token_file=token), {})

    assert str(caught.value) == "environment: kubernetes.enabled: is on, but no API server is known; set kubernetes.api_server, or auto"


def test_no_node_is_named(token: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the host's name stands in is told, with the cure."""
    monkeypatch.setattr("socket.gethostname", lambda: "node-7")
    with caplog.at_level(logging.WARNING):
        assert cluster_of(settings(token_file=token), INSIDE).node == "node-7"

    (record,) = caplog.records
    assert record.message == "no node is named: the host's name is taken for it"
    assert record.fields["cure"] == "set PERFLENS_KUBERNETES_NODE_NAME from spec.nodeName"  # type: ignore[attr-defined]


def test_names_from_the_kubelet(token: str, tmp_path: Path) -> None:
    """Where the kubelet is to tell names, it is asked wherever there is a token, API server or none; elsewhere nobody is."""
    own = {"source": "kubelet", "kubelet": "127.0.0.1", "node_name": "node-1"}
    found = cluster_of(settings(**own, token_file=token), {})

    assert (found.node, level_of(settings(), found)) == ("node-1", "workload")
    assert type(found.run.__self__).__name__ == "KubeletPods"  # type: ignore[attr-defined]
    assert cluster_of(settings(**own, token_file=f"{tmp_path}/none"), INSIDE).node == ""
    assert cluster_of(settings(**own, token_file=token, enabled="off"), INSIDE).node == ""


def test_no_kubelet_is_known(token: str) -> None:
    """To ask the kubelet takes its address."""
    with pytest.raises(ConfigError) as caught:
        cluster_of(settings(source="kubelet", token_file=token), INSIDE)

    cure = "set PERFLENS_KUBERNETES_KUBELET from status.hostIP"
    assert str(caught.value) == f"environment: kubernetes.source: is kubelet, but no kubelet is known; {cure}"


def test_a_cgroup_of_a_pod_is_looked_for(token: str) -> None:
    """A cgroup that was made has its pod looked for by the uid in its path; one that is in no pod nobody asks for."""
    uid, number = "0f6a5a3e-3c0e-4c1f-9a52-0d1c9b9b0a11", "a" * 64
    found, missed = cluster_of(settings(source="kubelet", kubelet="127.0.0.1", token_file=token, node_name="n"), {}), list[object]()
    found.pods.missed = lambda *what: missed.append(what)  # type: ignore[attr-defined]
    below = f"kubelet-kubepods-pod{uid.replace('-', '_')}.slice"
    for path in (("kubepods.slice", below), ("kubepods.slice", below, f"cri-containerd-{number}.scope"), ("system.slice", "a.service"), ()):
        found.made(path)

    assert missed == [(uid, ""), (uid, number)]


def test_nothing_runs_outside() -> None:
    """Without a cluster there is nothing to run, and nobody knows a pod."""
    own = NoCluster()
    asyncio.run(own.run())
    own.made(("kubepods", "x"))

    assert (own.pods.find("x", "y"), own.pods.tells) == (None, False)


def test_nothing_is_imported_outside() -> None:
    """Outside of a cluster neither the watch nor what it needs is loaded."""
    code = "import sys, perflens.agent; print([name for name in sys.modules if name.startswith('perflens.enrich.kubernetes.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "['perflens.enrich.kubernetes.place']"
