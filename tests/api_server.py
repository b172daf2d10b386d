"""An API server of Kubernetes as far as its lists and watches of pods go, with the faults that it and the network are known for.

staging/src/k8s.io/apiserver/pkg/endpoints/handlers and pkg/storage/cacher of kubernetes/kubernetes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "eyJ.first"  # noqa: S105
NODE = "node-1"

Fault = str
"""A status (``500``); ``hang`` before an answer; ``cut`` in the middle of it; of a list ``garbage``, ``odd`` (JSON that is no list) or
``huge``; of a watch ``garbage``, ``array``, ``odd`` (an event of no type), ``long`` (a line without an end), ``gone`` or ``error``, each
behind the events that there are. ``on_fault`` is called as it begins."""


def pod(name: str, uid: str, namespace: str = "shop", node: str = NODE, **parts: Any) -> dict[str, Any]:
    """A pod; ``owner`` is (apiVersion, kind, name), ``containers`` the ids by name, ``labels`` and ``annotations`` mappings."""
    owner, labels = parts.get("owner"), parts.get("labels", {})
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid, "labels": labels}
    if "annotations" in parts:
        metadata["annotations"] = parts["annotations"]
    if owner:
        metadata["ownerReferences"] = [reference(*owner)]
    statuses = [{"name": own, "containerID": f"containerd://{number}"} for own, number in parts.get("containers", {}).items()]
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"containerStatuses": statuses}}


def reference(version: str, kind: str, name: str) -> dict[str, Any]:
    """An owner that controls."""
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid_of(name), "controller": True}


def uid_of(name: str) -> str:
    """An uid for a name."""
    return f"{crc32(name.encode()):08x}-0000-4000-8000-{len(name):012x}"


def controller(name: str, owner: tuple[str, str, str] | None = None) -> dict[str, Any]:
    """A ReplicaSet or a Job."""
    return {"metadata": {"name": name, "uid": uid_of(name), "ownerReferences": [reference(*owner)] if owner else []}}


@dataclass
class ApiServer:
    """``faults`` of "list", "watch", "replicasets" and "jobs" are taken one after the other; ``asked`` has what and with which query."""

    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    controllers: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    page: int = 0
    version: int = 100
    oldest: int = 100
    bookmarks: bool = True
    on_fault: Callable[[Fault], None] = lambda fault: None
    _log: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: bool = False

    def put(self, *pods: dict[str, Any]) -> None:
        """Make or change pods."""
        for own in pods:
            uid = own["metadata"]["uid"]
            self._tell("MODIFIED" if uid in self.pods else "ADDED", own)
            self.pods[uid] = own

    def delete(self, *uids: str) -> None:
        """Delete pods."""
        for uid in uids:
            self._tell("DELETED", self.pods.pop(uid))

    def bookmark(self) -> None:
        """Tell the version."""
        self._tell("BOOKMARK", {"kind": "Pod", "metadata": {}})

    def compact(self) -> None:
        """Forget what happened."""
        self.version += 1
        self.oldest = self.version
        self._log.clear()

    def end_watches(self) -> None:
        """End each watch, as after its time."""
        self._ends = True
        self._news.set()

    def number(self, what: str) -> int:
        """How often it was asked for."""
        return sum(own == what for own, _ in self.asked)

    def _tell(self, kind: str, own: dict[str, Any]) -> None:
        self.version += 1
        told = {**own, "metadata": {**own["metadata"], "resourceVersion": str(self.version)}}
        self._log.append((self.version, {"type": kind, "object": told}))
        self._news.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info.get("resource", "watch" if request.query.get("watch") else "list")
        self.asked.append((resource, dict(request.query)))
        waiting = self.faults.get(resource)
        fault = waiting.pop(0) if waiting else ""
        if fault:
            self.on_fault(fault)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _status(401)
        if fault.isdigit():
            return _status(int(fault))
        if fault == "hang":
            await asyncio.sleep(60)
        if resource == "watch":
            return await self._watch(request, fault)
        if resource == "list":
            return await self._list(request, fault)
        found = self.controllers.get(request.match_info["name"])
        return web.json_response(found) if found else _status(404)

    async def _list(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault == "garbage":
            return web.Response(body=b'{"items": [{"metadata":')
        if fault == "odd":
            return web.json_response({"items": "none", "metadata": {"resourceVersion": "1"}})
        if fault == "deep":
            return web.Response(body=b"[" * 100_000)
        wanted = request.query["fieldSelector"].removeprefix("spec.nodeName=")
        found = [own for own in self.pods.values() if own["spec"].get("nodeName") in (wanted, "elsewhere")]
        first = int(request.query.get("continue", "0"))
        last = first + self.page if self.page else len(found)
        metadata = {"resourceVersion": str(self.version), **({"continue": str(last)} if last < len(found) else {})}
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": found[first:last]})

    async def _watch(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        if since < self.oldest:
            await answer.write(_line({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}))
            return answer
        while not self._ends:
            self._news.clear()
            for version, event in self._log:
                if version > since:
                    since = version
                    await answer.write(_line(event)[:20])
                    await answer.write(_line(event)[20:])
            if fault:
                return await _spoil(request, answer, fault)
            await self._news.wait()
        self._ends = False
        return answer


_SPOILT: Mapping[Fault, bytes] = {
    "garbage": b'{"type": "ADDED", "object": {\n',
    "array": b"[1, 2]\n",
    "odd": b'{"type": "GUESSED", "object": {}}\n',
    "deep": b'{"type":' + b"[" * 100_000 + b"\n",
    "gone": json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n",
    "error": json.dumps({"type": "ERROR", "object": {"code": 500}}).encode() + b"\n",
}


async def _spoil(request: web.Request, answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault == "cut":
        assert request.transport
        request.transport.abort()
        return answer
    if fault == "long":
        piece = b"x" * (1 << 20)
        for _ in range(6):
            await answer.write(piece)
        await asyncio.sleep(60)
    await answer.write(_SPOILT[fault])
    await asyncio.sleep(60)
    return answer


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": code}, status=code)


@asynccontextmanager
async def running(server: ApiServer, port: int | None = None) -> AsyncIterator[str]:
    """The URL of a server that runs meanwhile, on a port that is free or this one."""
    application = web.Application()
    application.router.add_get("/api/v1/pods", server.handle)
    application.router.add_get("/apis/{group}/v1/namespaces/{namespace}/{resource}/{name}", server.handle)
    async with TestServer(application, port=port, handler_cancellation=True) as own:
        yield str(own.make_url("/")).rstrip("/")


@contextmanager
def in_a_thread(pods: Sequence[dict[str, Any]], port: int | None = None) -> Iterator[tuple[str, ApiServer, asyncio.AbstractEventLoop]]:
    """A server with these pods on a loop of its own, where ``call_soon_threadsafe`` has to be used to change it."""
    started, ended = threading.Event(), asyncio.Event()
    found: list[tuple[str, ApiServer, asyncio.AbstractEventLoop]] = []

    async def run() -> None:
        server = ApiServer()
        server.put(*pods)
        async with running(server, port) as url:
            found.append((url, server, asyncio.get_running_loop()))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(10)
    try:
        yield found[0]
    finally:
        found[0][2].call_soon_threadsafe(ended.set)
        thread.join(20)
