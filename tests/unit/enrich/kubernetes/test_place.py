"""enrich/kubernetes/place.py: where the API server is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from perflens.enrich.kubernetes.place import Place, is_cluster, kubelet_of, place_of

NAMED = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.mark.parametrize(
    ("api_server", "environment", "expected"),
    [
        ("", NAMED, "https://10.0.0.1:6443"),
        ("", {"KUBERNETES_SERVICE_HOST": "fd00::1"}, "https://[fd00::1]:443"),
        ("https://api.example:8443/", NAMED, "https://api.example:8443"),
        ("http://127.0.0.1:8001", {}, "http://127.0.0.1:8001"),
    ],
)
def test_server(api_server: str, environment: dict[str, str], expected: str) -> None:
    """The configuration stands over the variables that each pod has."""
    assert place_of(api_server, "/token", "/ca", "node-1", environment) == Place(expected, "/token", "/ca", "node-1")


def test_no_server() -> None:
    """Without either there is nobody to ask."""
    assert place_of("", "/token", "/ca", "node-1", {}) is None


def test_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's name stands in for the node's, in lower case as names of nodes are."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Node-7.Example")
    found = place_of("", "/token", "/ca", "", NAMED)

    assert found
    assert found.node == "node-7.example"


@pytest.mark.parametrize(
    ("kubelet", "expected"),
    [
        ("10.0.0.7", "https://10.0.0.7:10250"),
        ("10.0.0.7:10255", "https://10.0.0.7:10255"),
        ("node-1.example", "https://node-1.example:10250"),
        ("fd00::1", "https://[fd00::1]:10250"),
        ("fd00::1234", "https://[fd00::1234]:10250"),
        ("[fd00::1]", "https://[fd00::1]:10250"),
        ("[fd00::1]:4194", "https://[fd00::1]:4194"),
    ],
)
def test_kubelet(kubelet: str, expected: str) -> None:
    """A kubelet is asked by TLS alone, at the usual port unless another one is named."""
    assert kubelet_of(kubelet, "/token", "/ca", "node-1", verify=False) == Place(expected, "/token", "/ca", "node-1", False)


def test_in_a_cluster(tmp_path: Path) -> None:
    """A cluster is where there are both an API server and a token."""
    token = tmp_path / "token"
    assert not is_cluster("", str(token), NAMED)
    token.write_text("x")

    assert is_cluster("", str(token), NAMED)
    assert is_cluster("https://api.example", str(token), {})
    assert not is_cluster("", str(token), {})
