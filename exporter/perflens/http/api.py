"""The JSON API: what was slow, who waited, and where. It reads, and changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perflens.http.access import Access, Client
from perflens.http.escaped import encode
from perflens.http.framework import Handler, web
from perflens.http.guard import AUTHENTICATED
from perflens.http.openapi import ENDPOINTS, Endpoint, document
from perflens.http.parameters import BadParameter, Query, parse

__all__ = ["Api", "View", "application"]

_log = logging.getLogger("perflens")

View = Callable[[Query], Awaitable[Any]]
"""Answers a query with values that JSON knows."""

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Api:
    """What the agent hands in, one callable for each endpoint; each gets a query whose ``limit`` it keeps to."""

    summary: View
    processes: View
    process_tree: View
    timeline: View
    process_starts: View
    events: View
    stacks: View
    incidents: View
    analyses: View
    config: View


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json", headers={**_HEADERS, **(headers or {})})


def _error(message: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json({"error": message}, status, headers)


def _client(request: web.Request) -> Client:
    """Who asks. The address is that of the connection: what a header says of it anybody can write."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    names = {name.title() for name in request.headers}
    return Client(address, {name: tuple(request.headers.getall(name)) for name in names}, AUTHENTICATED.get())


def application(api: object, access: Access, is_ready: Callable[[], bool], endpoints: Sequence[Endpoint] = ENDPOINTS) -> web.Application:
    """Return the application that is mounted at /api: of each endpoint the view that ``api`` has under its name.

    Access is checked before anything else, for what does not exist too.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = access.refusal(_client(request))
        if refusal:
            return _error(refusal.message, refusal.status, refusal.headers)
        try:
            return await handler(request)
        except BadParameter as error:
            return _error(str(error), 400)
        except web.HTTPMethodNotAllowed as error:
            return _error("the API only reads; use GET", 405, {"Allow": error.headers["Allow"]})
        except web.HTTPNotFound:
            return _error("there is nothing at this path; /api/v1/openapi.json lists what there is", 404)
        except web.HTTPException:
            raise
        except Exception:
            _log.exception("an answer of the API failed")
            return _error("the answer failed; the agent's log says why", 500)

    app = web.Application(middlewares=[guard])
    for endpoint in endpoints:
        view: View = getattr(api, endpoint.name)
        app.router.add_get(f"/v1/{endpoint.path}", _handler(view, endpoint.parameters, is_ready))

    async def openapi(_: web.Request) -> web.Response:
        return _json(document(endpoints))

    app.router.add_get("/v1/openapi.json", openapi)
    return app


def _handler(view: View, allowed: tuple[str, ...], is_ready: Callable[[], bool]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if not is_ready():
            return _error("not ready: it is starting; ask again in a moment", 503)
        return _json(await view(parse(request.query.items(), allowed)))

    return handle
