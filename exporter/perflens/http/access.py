"""Who may ask the API: it shows stacks and command names, so loopback clients, and those that send the token."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from perflens.private import read_word

__all__ = ["Access", "Client", "Refusal", "is_loopback", "read_token"]

_KEY = "web.api_token_file"
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-", "X-Real-Ip", "X-Envoy-")  # how they begin; Envoy adds no X-Forwarded-For by default
_OWN_SITE = ("same-origin", "none")  # none: a person typed the address
_TOKEN_CURE = "send the token of --web.api-token-file as `Authorization: Bearer TOKEN`"  # noqa: S105
_CURE = "ask from this host by a loopback address, or start the agent with --web.api-token-file and send the token"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a client is not answered, in one line with the cure."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Client(NamedTuple):
    """Who asks: the address at the other end of the connection (empty when it has none), and each header's values by its name."""

    address: str
    headers: Mapping[str, tuple[str, ...]]
    authenticated: bool = False
    """Whether it showed a password or a verified certificate, as the web configuration asks for."""


class Access:
    """The rules of access, with the token of ``token_file``; without a file no token is right."""

    def __init__(self, token_file: str = "") -> None:
        self._file = token_file
        self._token = read_token(token_file) if token_file else b""

    def reload(self) -> None:
        """Read the token again; ConfigError leaves the old one in force."""
        if self._file:
            self._token = read_token(self._file)

    def refusal(self, client: Client) -> Refusal | None:
        """Return why a client is not answered; None when it is."""
        sent = client.headers.get("Authorization", ())
        if self._token and any(map(_is_bearer, sent)):
            return None if self.is_token(sent) else _wrong_token()
        if client.authenticated:
            crossing = _why_crossing(client)
            return Refusal(403, f"{crossing}; ask by a program, or from the agent's own pages") if crossing else None
        remote = _why_remote(client)
        if remote and self._token:
            return Refusal(401, f"{remote}; {_TOKEN_CURE}", {"WWW-Authenticate": "Bearer"})
        foreign = remote or _why_foreign(client)
        return Refusal(403, f"{foreign}; {_CURE}") if foreign else None

    def is_token(self, sent: Sequence[str]) -> bool:
        """Whether the values of the header Authorization are the token, and nothing else."""
        if not self._token or len(sent) != 1 or not _is_bearer(sent[0]):
            return False
        return hmac.compare_digest(sent[0][7:].strip().encode("utf-8", "surrogatepass"), self._token)


def _is_bearer(value: str) -> bool:
    return value[:7].lower() == "bearer "


def _wrong_token() -> Refusal:
    return Refusal(401, f"the token is not the right one; {_TOKEN_CURE}", {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _why_remote(client: Client) -> str:
    """Why it is not from this host; empty when it is. A proxy here speaks for others, and what it says of them is not believed."""
    if not is_loopback(client.address):
        return "the API answers loopback clients only"
    if any(name.startswith(_FORWARDED) for name in client.headers):
        return "the request was forwarded, and the API answers loopback clients only"
    return ""


def _why_foreign(client: Client) -> str:
    """Why it is a browser on this host, made to ask by a page of another site: by a name that it has pointed here, or across sites."""
    hosts = client.headers.get("Host", ())
    if len(hosts) != 1 or not _is_local_name(hosts[0]):
        return "the Host header names no loopback address"
    return _why_crossing(client)


def _why_crossing(client: Client) -> str:
    """Why a browser was made to ask by a page of another site; empty when it was not."""
    hosts = client.headers.get("Host", ())
    origins = client.headers.get("Origin", ())
    own = [f"{scheme}://{host}".lower() for scheme in ("http", "https") for host in hosts]
    if any(origin.lower() not in own for origin in origins):
        return "the request comes from a page of another site"
    if any(site.lower() not in _OWN_SITE for site in client.headers.get("Sec-Fetch-Site", ())):
        return "the request comes from a page of another site"
    return ""


def is_loopback(address: str) -> bool:
    """Whether an address is 127.0.0.0/8, ::1 or the former written as IPv6."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def _is_local_name(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = parts.netloc == host and "@" not in host
    return plain and (name in ("localhost", "localhost.") or is_loopback(name))


def read_token(path: str, key: str = _KEY) -> bytes:
    """Return the token in a file; ConfigError when it cannot be one or others may read it."""
    return read_word(path, key)
