"""What stands before every endpoint: who is let in, with which headers, over which TLS."""

from __future__ import annotations

from collections.abc import Mapping
from ssl import SSLContext, SSLObject
from typing import NamedTuple, Protocol

from perflens.http.access import Refusal

__all__ = ["CLOSED", "OPEN", "Front", "Verdict", "Visit"]

CLOSED = ("idle", "unread", "malformed")
"""Why a server ends a connection: it made room for others, its answer was not read, or what it sent is no HTTP."""


class Visit(NamedTuple):
    """A request before anything is known of it: the values of its header Authorization, and what it shows besides."""

    authorization: tuple[str, ...]
    has_token: bool
    """Whether it asks the API and shows the API's token."""

    has_certificate: bool
    """Whether it came with a client's certificate, which was verified."""


class Verdict(NamedTuple):
    """Why a request is not answered, None when it is, and whether it is known who asks."""

    refusal: Refusal | None = None
    authenticated: bool = False


class Front(Protocol):
    """What the web configuration decides."""

    @property
    def tls(self) -> SSLContext | None:
        """The context to listen with; None for plain HTTP."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every answer that does not set them itself."""

    async def judge(self, visit: Visit) -> Verdict:
        """Say whether a request is answered."""

    def is_old(self, connection: SSLObject | None) -> bool:
        """Whether a connection was made before the certificates changed, and is to be made anew."""


class _Open:
    """No web configuration: plain HTTP for everybody, and nobody is known."""

    tls = None
    headers: Mapping[str, str] = {}

    async def judge(self, visit: Visit) -> Verdict:
        return Verdict()

    def is_old(self, connection: SSLObject | None) -> bool:
        return False


OPEN: Front = _Open()
"""For an agent without a web configuration."""
