"""A kubelet as far as its list of pods goes, with its faults: pkg/kubelet/server of kubernetes/kubernetes.

It speaks TLS alone, and takes the tokens that the API server takes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.api_server import NODE, TOKEN, pod
from tests.certificates import Pair

__all__ = ["Fault", "Kubelet", "serving", "static_pod"]

Fault = str
"""A status (``500``); ``hang`` before an answer; ``cut`` in the middle of it; ``garbage``, ``odd`` (JSON of another kind), ``deep``, or
``huge``, which has no end."""


def static_pod(name: str, uid: str, source: str = "file", **parts: Any) -> dict[str, Any]:
    """A pod that the kubelet has of a file: its uid is the file's hash, which its annotations say too, and nothing controls it."""
    annotations = {"kubernetes.io/config.hash": uid, "kubernetes.io/config.source": source, "kubernetes.io/config.seen": "2026-11-29"}
    return pod(f"{name}-{NODE}", uid, "kube-system", annotations=annotations, **parts)


@dataclass
class Kubelet:
    """``pods`` by uid is what it tells; ``faults`` are taken one after the other, and ``asked`` is how often it was asked."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    faults: list[Fault] = field(default_factory=list)
    asked: int = 0

    def put(self, *pods: dict[str, Any]) -> None:
        """Make or change pods."""
        self.pods.update({own["metadata"]["uid"]: own for own in pods})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else ""
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return web.Response(status=401, text="Unauthorized")
        if fault.isdigit():
            return web.Response(status=int(fault), text=f"Forbidden (user=x, verb=get, resource=nodes, subresource=[pods proxy]) {fault}")
        if fault in ("cut", "huge"):
            return await _spoil(request, fault)
        if fault == "hang":
            await asyncio.sleep(60)
        spoilt = {"garbage": b'{"items": [{"metadata":', "odd": b'{"kind": "Status", "items": []}', "deep": b"[" * 100_000}
        if fault in spoilt:
            return web.Response(body=spoilt[fault])
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self.pods.values()) or None})


async def _spoil(request: web.Request, fault: Fault) -> web.StreamResponse:
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    await answer.write(b'{"kind": "PodList", "items": [')
    while fault == "huge":
        await answer.write(b" " * (1 << 18))
    assert request.transport
    request.transport.abort()
    return answer


@asynccontextmanager
async def serving(kubelet: Kubelet, pair: Pair, port: int | None = None) -> AsyncIterator[str]:
    """The address of a kubelet that runs meanwhile with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    application = web.Application()
    application.router.add_get("/pods", kubelet.handle)
    own = TestServer(application, host="127.0.0.1", port=port, scheme="https", handler_cancellation=True)
    await own.start_server(ssl=context)
    try:
        yield f"127.0.0.1:{own.port}"
    finally:
        await own.close()
