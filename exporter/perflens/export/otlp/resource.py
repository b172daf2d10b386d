"""Who sends the spans: the agent. A workload's name here would add the agent's spans to the workload's own."""

from __future__ import annotations

import os
import platform
import socket
import uuid

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from perflens import __version__

__all__ = ["agent_resource"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class _HashedOnce(Resource):
    """A resource whose hash is taken once: the encoder asks for it with every span, and it is that of a JSON text."""

    def __init__(self, whole: Resource) -> None:
        super().__init__(dict(whole.attributes), whole.schema_url)
        self._hash = super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash


def agent_resource(node: str = "") -> Resource:
    """Return what is known of the agent on this ``node`` of a cluster; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME stand over it."""
    node = node or os.environ.get("NODE_NAME") or os.environ.get("K8S_NODE_NAME") or ""
    machine = platform.machine()
    known = {
        "service.name": "perflens",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": node or socket.gethostname(),
        "host.arch": _ARCHITECTURES.get(machine, machine),
        "os.type": "linux",
    }
    if node:
        known["k8s.node.name"] = node
    return _HashedOnce(Resource.create(known).merge(OTELResourceDetector().detect()))
