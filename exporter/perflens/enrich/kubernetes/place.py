"""Where the API server is, and who asks it: read off the configuration and the variables that a pod has."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Place", "is_cluster", "place_of"]

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


class Place(NamedTuple):
    """The URL of the API server, the files with the token and the certificates to trust, and the name of this node."""

    server: str
    token_file: str
    ca_file: str
    node: str


def is_cluster(api_server: str, token_file: str, environment: Mapping[str, str]) -> bool:
    """Whether this is a pod of a cluster, or a host that was told of one: there are an API server and a token."""
    return bool(_server(api_server, environment)) and os.path.exists(token_file)


def place_of(api_server: str, token_file: str, ca_file: str, node_name: str, environment: Mapping[str, str]) -> Place | None:
    """Return where to ask, None when no API server is known. Without a node's name it is taken to be the host's."""
    server = _server(api_server, environment)
    return Place(server, token_file, ca_file, node_name or socket.gethostname().lower()) if server else None


def _server(api_server: str, environment: Mapping[str, str]) -> str:
    host, port = environment.get(_HOST, ""), environment.get(_PORT, "") or "443"
    if api_server or not host:
        return api_server.rstrip("/")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
