"""The aiohttp application: metrics, health, readiness, reload, a landing page, and what is mounted beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from socket import socket
from ssl import SSLContext
from types import MappingProxyType

from perflens import __version__
from perflens.http.connections import Connections, SharedPage
from perflens.http.framework import web

__all__ = ["Answer", "Endpoints", "Scrape", "application", "start"]


@dataclass(frozen=True, slots=True)
class Scrape:
    """A request for metrics, as its headers and its query string say it."""

    accept: str
    accept_encoding: str
    names: frozenset[str]
    collectors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A page: its bytes in pieces, content type and encoding (empty for none)."""

    pieces: Sequence[bytes]
    content_type: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the application serves.

    ``metrics`` raises ValueError for a request that names what does not exist. ``reload`` returns the error, empty for none.
    """

    telemetry_path: str
    metrics: Callable[[Scrape], Awaitable[Answer]]
    is_ready: Callable[[], bool]
    reload: Callable[[], Awaitable[str]]
    enable_lifecycle: bool


def _plain(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text + "\n", status=status)


def _landing(endpoints: Endpoints) -> web.Response:
    links = (
        (endpoints.telemetry_path, "Metrics"),
        ("/-/healthy", "Health"),
        ("/-/ready", "Readiness"),
    )
    items = "".join(f'<li><a href="{escape(path, quote=True)}">{name}</a></li>' for path, name in links)
    body = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>PerfLens</title></head><body>'
        f"<h1>PerfLens</h1><p>Finds and explains slow operations on Linux hosts.</p><p>Version {escape(__version__)}</p>"
        f"<ul>{items}</ul></body></html>\n"
    )
    return web.Response(text=body, content_type="text/html", headers={"Content-Security-Policy": "default-src 'none'"})


async def _send(request: web.Request, pieces: Sequence[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
    """Send a body piece by piece, no faster than the client reads it: what waits in the socket's buffer is one piece."""
    if len(pieces) == 1 or request.method == "HEAD":
        return web.Response(body=b"".join(pieces), headers=headers)
    response = SharedPage(id(pieces), headers=headers)
    response.content_length = sum(map(len, pieces))
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


def application(endpoints: Endpoints, mounted: Mapping[str, web.Application] = MappingProxyType({})) -> web.Application:
    """Return the application; ``mounted`` are others by the path that they answer below, such as the API at /api."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        if not endpoints.is_ready():
            return _plain("not ready: it is starting", 503)
        scrape = Scrape(
            ",".join(request.headers.getall("Accept", ())),
            ",".join(request.headers.getall("Accept-Encoding", ())),
            frozenset(request.query.getall("name[]", ())),
            frozenset(request.query.getall("collect[]", ())),
        )
        try:
            answer = await endpoints.metrics(scrape)
        except ValueError as error:
            return _plain(str(error), 400)
        headers = {"Content-Type": answer.content_type, "Vary": "Accept, Accept-Encoding"}
        if answer.encoding:
            headers["Content-Encoding"] = answer.encoding
        return await _send(request, answer.pieces, headers)

    async def landing(_: web.Request) -> web.Response:
        return _landing(endpoints)

    async def healthy(_: web.Request) -> web.Response:
        return _plain("PerfLens is healthy.")

    async def ready(_: web.Request) -> web.Response:
        return _plain("PerfLens is ready.") if endpoints.is_ready() else _plain("PerfLens is starting.", 503)

    async def reload(_: web.Request) -> web.Response:
        if not endpoints.enable_lifecycle:
            return _plain("reload over HTTP is off: start with --web.enable-lifecycle, or send SIGHUP", 403)
        error = await endpoints.reload()
        return _plain(f"not reloaded: {error}", 500) if error else _plain("reloaded")

    app = web.Application()
    app.router.add_get("/", landing)
    app.router.add_get(endpoints.telemetry_path, metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_post("/-/reload", reload)
    app.router.add_put("/-/reload", reload)
    for path, other in mounted.items():
        app.add_subapp(path, other)
    return app


async def start(
    app: web.Application, sockets: Sequence[socket], tls: SSLContext | None = None, closed: Counter[str] | None = None
) -> Connections:
    """Serve ``app`` on listening sockets, by TLS with a context; ``cleanup()`` of what is returned ends it.

    ``closed`` counts the connections that the server ends, by reason.
    """
    own = Connections(app, tls, Counter() if closed is None else closed)
    await own.start(sockets)
    return own
