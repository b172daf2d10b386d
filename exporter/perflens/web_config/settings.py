"""What the file says, checked, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = ["ClientAuth", "RateLimit", "Tls", "Version", "WebConfig"]

ClientAuth = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Version = Literal["TLS12", "TLS13"]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of the server: texts in PEM, and OpenSSL's names of suites and curve. What is empty is left to the library."""

    certificate: str
    key: str = field(repr=False)
    client_ca: str = ""
    client_auth: ClientAuth = "NoClientCert"
    client_sans: frozenset[str] = frozenset()
    least: Version = "TLS12"
    most: Version = "TLS13"
    suites: tuple[str, ...] = ()
    prefers_own_suites: bool = True
    curve: str = ""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of ``burst`` requests that gets one more in each ``interval`` of ns; an interval of 0 is no limit."""

    interval: int = 0
    burst: int = 1


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The whole file. ``tls`` is None for plain HTTP; ``users`` are bcrypt hashes by name, none for no passwords."""

    tls: Tls | None = None
    http2: bool | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    rate: RateLimit = field(default_factory=RateLimit)
