"""An agent to be asked: its URLs, the context of its TLS, and the headers that say who asks."""

from __future__ import annotations

import ssl
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import IO
from urllib.parse import urlsplit

__all__ = ["Identity", "Target", "is_usable"]

_API = "/api/"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a client shows: a user with a password, a token for the API; empty for none."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def headers(self, path: str) -> Mapping[str, str]:
        """Return the headers of a request for a path: the API's token goes to the API alone, and before a password."""
        if self.token and path.startswith(_API):
            return {"Authorization": f"Bearer {self.token}"}
        if self.user:
            return {"Authorization": "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()}
        return {}


@dataclass(frozen=True, slots=True)
class Target:
    """An agent: ``base`` without a path, such as https://host:9435, and the path of its metrics. ``tls`` is None for plain HTTP."""

    base: str
    metrics: str = "/metrics"
    identity: Identity = field(default_factory=Identity)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str, identity: Identity | None = None, tls: ssl.SSLContext | None = None) -> Target:
        """Return the agent at its address, or at the whole URL of its metrics; https without a context trusts the host's authorities."""
        parts = urlsplit(url)
        tls = tls or (ssl.create_default_context() if parts.scheme == "https" else None)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/") or "/metrics", identity or Identity(), tls)

    def request(self, path: str) -> urllib.request.Request:
        """Return a request for a path with its query, who asks included."""
        return urllib.request.Request(f"{self.base}{path}", headers=dict(self.identity.headers(path)))  # noqa: S310  (http or https)

    def opener(self) -> urllib.request.OpenerDirector:
        """Return what sends requests: to the agent itself, whatever the proxy, and never on to where an answer points."""
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirects()]
        return urllib.request.build_opener(*handlers, urllib.request.HTTPSHandler(context=self.tls))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An agent sends nobody elsewhere, and a password must not follow."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        return None


def is_usable(url: str) -> bool:
    """Whether a text is the URL of an agent: of HTTP, with a host, and no more than a path."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username) and url.isprintable() and " " not in url
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)
