"""Agents as far as the API of incidents goes: real servers, with the faults that they and what stands before them are known for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from perflens.analysis import Incident
from perflens.analyzer.actions import ACTIONS
from perflens.export import analysis
from perflens.http import api
from perflens.http.access import Access, Client, Refusal
from perflens.http.openapi import ENDPOINTS
from perflens.http.parameters import Query

TOKEN = "right"  # noqa: S105


class _Token(Access):
    """The rules of access of an agent on another host, which loopback is not."""

    def refusal(self, client: Client) -> Refusal | None:
        sent = client.headers.get("Authorization", ())
        return None if sent == (f"Bearer {TOKEN}",) else Refusal(401, "the token is missing or wrong")


@dataclass
class Agent:
    """``fault`` is what is wrong with it: ``hang``, ``gate`` (it answers once that is set),
    ``garbage``, ``huge``, ``redirect``, ``cut``, a status, or nothing."""

    host: str
    told: list[Incident] = field(default_factory=list)
    fault: str = ""
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def incidents(self, query: Query) -> Any:
        found = [own for own in self.told if query.state in ("", own.state)]
        return {"host": self.host, "incidents": [analysis.incident(own, ACTIONS) for own in found[: query.limit]]}

    @web.middleware
    async def spoil(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        match self.fault:
            case "hang":
                await asyncio.Event().wait()
            case "gate":
                await self.gate.wait()
            case "garbage":
                return web.Response(body=b'{"host": "x", "incidents": [' + b"[" * 100_000, content_type="application/json")
            case "html":
                return web.Response(text="<html>a proxy's page</html>")
            case "strange":
                return web.Response(text=json.dumps({"host": self.host, "incidents": [{"id": 1}]}))
            case "anonymous":
                return web.Response(text=json.dumps({"incidents": []}))
            case "huge":
                return web.Response(body=b" " * (5 << 20))
            case "redirect":
                raise web.HTTPFound("http://127.0.0.1:1/")
            case "cut":
                assert request.transport
                request.transport.abort()
        if self.fault.isdigit():
            return web.Response(status=int(self.fault))
        answer: web.StreamResponse = await handler(request)
        return answer


@asynccontextmanager
async def serving(*agents: Agent) -> AsyncIterator[list[str]]:
    """The root URLs of so many agents."""
    async with AsyncExitStack() as stack:
        urls = []
        for own in agents:
            served = [endpoint for endpoint in ENDPOINTS if endpoint.name == "incidents"]
            application = web.Application(middlewares=[own.spoil])
            application.add_subapp("/api", api.application(own, _Token(), lambda: True, served))
            server = TestServer(application)
            await server.start_server()
            stack.push_async_callback(server.close)
            urls.append(str(server.make_url("/")).rstrip("/"))
        yield urls
