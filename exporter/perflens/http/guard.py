"""Asks the front about each request, before any endpoint sees it."""

from __future__ import annotations

from contextvars import ContextVar

from perflens.http.access import Access, Refusal
from perflens.http.escaped import encode
from perflens.http.framework import Handler, web
from perflens.http.front import Front, Visit

__all__ = ["AUTHENTICATED", "protected"]

AUTHENTICATED = ContextVar("authenticated", default=False)
"""Whether the request that is being answered showed a password or a verified certificate."""

_API = "/api/"


def protected(app: web.Application, front: Front, access: Access) -> web.Application:
    """Put a front before an application and all that is mounted in it; a token of the API is as good as a password there."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        verdict = await front.judge(_visit(request, access))
        if verdict.refusal:
            return _refused(verdict.refusal, request.path.startswith(_API))
        AUTHENTICATED.set(verdict.authenticated)
        return await handler(request)

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in front.headers.items():
            response.headers.setdefault(name, value)
        if request.transport and front.is_old(request.transport.get_extra_info("ssl_object")):
            response.force_close()
            response.headers["Connection"] = "close"  # what says so else is written before

    app.middlewares.insert(0, guard)
    app.on_response_prepare.append(prepare)
    return app


def _visit(request: web.Request, access: Access) -> Visit:
    sent = tuple(request.headers.getall("Authorization", ()))
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    return Visit(sent, request.path.startswith(_API) and access.is_token(sent), bool(certificate))


def _refused(refusal: Refusal, is_api: bool) -> web.Response:
    body = encode({"error": refusal.message}) if is_api else f"{refusal.message}\n".encode()
    kind = "application/json" if is_api else "text/plain"
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **refusal.headers}
    return web.Response(body=body, status=refusal.status, content_type=kind, charset=None if is_api else "utf-8", headers=headers)
