"""Where the API server or the kubelet is, and who asks: read off the configuration and the variables that a pod has."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Place", "is_cluster", "is_told", "kubelet_of", "place_of"]

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
_KUBELET_PORT = 10_250


class Place(NamedTuple):
    """The URL of who is asked, the files with the token and the certificates to trust, and the name of this node.

    Without ``verify`` any certificate will do.
    """

    server: str
    token_file: str
    ca_file: str
    node: str
    verify: bool = True


def is_cluster(api_server: str, token_file: str, environment: Mapping[str, str]) -> bool:
    """Whether this is a pod of a cluster, or a host that was told of one: there are an API server and a token."""
    return bool(_server(api_server, environment)) and is_told(token_file)


def is_told(token_file: str) -> bool:
    """Whether there is a token, so that somebody answers."""
    return os.path.exists(token_file)


def place_of(api_server: str, token_file: str, ca_file: str, node_name: str, environment: Mapping[str, str]) -> Place | None:
    """Return where to ask, None when no API server is known. Without a node's name it is taken to be the host's."""
    server = _server(api_server, environment)
    return Place(server, token_file, ca_file, _node(node_name)) if server else None


def kubelet_of(kubelet: str, token_file: str, ca_file: str, node_name: str, *, verify: bool) -> Place:
    """Return where to ask a kubelet; an IPv6 address may stand without brackets, as ``status.hostIP`` does."""
    is_bare = kubelet.count(":") > 1 and not kubelet.startswith("[")
    host = f"[{kubelet}]" if is_bare else kubelet
    has_port = not is_bare and kubelet.rpartition(":")[2].isdecimal() and ":" in kubelet
    return Place(f"https://{host}" if has_port else f"https://{host}:{_KUBELET_PORT}", token_file, ca_file, _node(node_name), verify)


def _node(name: str) -> str:
    return name or socket.gethostname().lower()


def _server(api_server: str, environment: Mapping[str, str]) -> str:
    host, port = environment.get(_HOST, ""), environment.get(_PORT, "") or "443"
    if api_server or not host:
        return api_server.rstrip("/")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
