"""A Grafana as far as its API of annotations goes, with the faults that it and what stands before it are known for.

pkg/api/annotations.go and pkg/services/annotations of grafana/grafana.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "glsa_correct"  # noqa: S105
TAGS_LENGTH = 500

Fault = str
"""``lost``: done, but the connection ends without an answer. ``hang``: done, but no answer comes. ``late``: no answer, and done at the
next request. ``silent``: answered with success and not done. ``huge``: done, with an endless answer. ``down``: the connection is closed
at once. Or a status, with its Retry-After behind a colon: ``429:30``."""


@dataclass
class Row:
    id: int
    time: int
    end: int
    text: str
    tags: list[str]

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "alertId": 0, "time": self.time, "timeEnd": self.end, "text": self.text, "tags": self.tags, "data": {}}


@dataclass
class Grafana:
    """``faults`` gives the fault of each request by its method, one after the other; ``always`` those of every request of a method."""

    rows: dict[int, Row] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    created: int = 0
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    after_request: Callable[[str], None] = lambda method: None
    longest_body: int = 1 << 20
    postponed: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self._fault(request.method)
        self.asked.append((request.method, request.path))
        for each in self.postponed:
            self._create(each)
        self.postponed.clear()
        if fault == "down":
            return _hung_up(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _answer({"message": "Invalid API key", "seen": request.headers.get("Authorization")}, 401)
        if fault[:1].isdigit():
            return _refusal(fault)
        if len(body) > self.longest_body:
            return _answer({"message": "too large"}, 413)
        if fault == "late":
            self.postponed.append(json.loads(body))
            return _hung_up(request)
        if fault == "silent":
            return _answer({"message": "Annotation patched"})
        answer = self._route(request, json.loads(body) if body else {})
        self.after_request(request.method)
        return await _spoilt(request, answer, fault)

    def _fault(self, method: str) -> Fault:
        waiting = self.faults.get(method) or self.faults.get("*")
        return waiting.pop(0) if waiting else self.always.get(method, self.always.get("*", ""))

    def _route(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        self.bodies.append(body)
        tail = request.path.removeprefix("/api/annotations").strip("/")
        if not request.path.startswith("/api/annotations"):
            return _answer({"message": "Not found"}, 404)
        if request.method == "GET":
            return web.json_response([row.shown() for row in self._find(request)])
        if request.method == "POST":
            return self._create(body)
        row = self.rows.get(int(tail))
        if row is None:
            return _answer({"message": "Could not find annotation to update"}, 404)
        if request.method == "DELETE":
            del self.rows[row.id]
            return _answer({"message": "Annotation deleted"})
        return self._change(row, body)

    def _create(self, body: dict[str, Any]) -> web.Response:
        if not body.get("text"):
            return _answer({"message": "text field should not be empty"}, 400)
        tags = _tags(body.get("tags", []))
        if len(json.dumps(tags, ensure_ascii=False).encode()) > TAGS_LENGTH:
            return _answer({"message": "Failed to save annotation"}, 500)
        self.created += 1
        start, end = body.get("time", 1), body.get("timeEnd") or body.get("time", 1)
        self.rows[self.created] = Row(self.created, min(start, end), max(start, end), body["text"], tags)
        return _answer({"message": "Annotation added", "id": self.created})

    def _change(self, row: Row, body: dict[str, Any]) -> web.Response:
        if "tags" in body and len(json.dumps(_tags(body["tags"]), ensure_ascii=False).encode()) > TAGS_LENGTH:
            return _answer({"message": "Failed to update annotation"}, 500)
        start, end = body.get("time") or row.time, body.get("timeEnd") or row.end
        row.time, row.end = min(start, end), max(start, end)
        row.text = body.get("text") or row.text
        row.tags = _tags(body.get("tags") or row.tags)
        return _answer({"message": "Annotation patched"})

    def _find(self, request: web.Request) -> list[Row]:
        start, end = int(request.query.get("from", 0)), int(request.query.get("to", 0))
        tags = set(request.query.getall("tags", []))
        found = [row for row in self.rows.values() if tags <= set(row.tags)]
        if start > 0 and end > 0:
            found = [row for row in found if row.time <= end and row.end >= start]
        return sorted(found, key=lambda row: -row.end)[: int(request.query.get("limit", 100))]


def _tags(tags: list[str]) -> list[str]:
    """As Grafana keeps them: split at the colon, the third part lost, trimmed, each once."""
    kept = [":".join(part.strip() for part in tag.split(":")[:2]) for tag in tags]
    return list(dict.fromkeys(tag for tag in kept if tag))


def _answer(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _refusal(fault: Fault) -> web.Response:
    status, _, after = fault.partition(":")
    headers = {"Retry-After": after} if after else {}
    if status.startswith("3"):
        headers["Location"] = "/elsewhere"
    return web.json_response({"message": "no"}, status=int(status), headers=headers)


def _hung_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _spoilt(request: web.Request, answer: web.Response, fault: Fault) -> web.StreamResponse:
    if fault == "lost":
        return _hung_up(request)
    if fault == "hang":
        await asyncio.Event().wait()
    if fault == "huge":
        return web.Response(body=b"[" + b" " * (2 << 20) + b"]", content_type="application/json")
    return answer


@asynccontextmanager
async def serving(grafana: Grafana) -> AsyncIterator[str]:
    """The root URL of a server, which ends its connections when the client has."""
    application = web.Application(client_max_size=8 << 20)
    application.router.add_route("*", "/{tail:.*}", grafana.handle)
    server = TestServer(application)
    await server.start_server()
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()
