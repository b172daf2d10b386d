"""What an exporter sends through by urllib3 alone: requests on top of it would take 3 MiB more, for nothing that is used here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import urllib3

from perflens.export.otlp.answers import LARGEST, Answer
from perflens.export.otlp.quiet import told
from perflens.export.otlp.variables import Signal, first

__all__ = ["Connection", "Reply", "does"]

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def does(endpoint: str, environment: Mapping[str, str]) -> bool:
    """Whether a plain connection is all it takes: no proxy, and no credentials that only requests would send."""
    netrc = environment.get("NETRC") or Path.home() / ".netrc"
    return not (getproxies_environment() or "@" in urlsplit(endpoint).netloc or Path(netrc).exists())


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request, as the SDK's client asks for it: ``status_code`` and ``reason``, or the ``error``."""

    status_code: int | None = None
    reason: str | None = None
    error: Exception | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the answer, whatever their case."""
        return self.fields


class Connection:
    """A connection that is kept, and notes the answers."""

    def __init__(self, endpoint: str, answer: Answer, environment: Mapping[str, str], signal: Signal = "TRACES") -> None:
        self._answer = answer
        certificates = _certificates(environment, signal) if endpoint.startswith("https:") else {}
        self._pool = urllib3.PoolManager(retries=False, **certificates)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, timeout: float | None = None, data: bytes | None = None
    ) -> Reply:
        """Send a request and note its answer."""
        self._answer.clear()
        limit = urllib3.Timeout(connect=timeout, read=timeout)
        try:
            response = self._pool.request(method, url, body=data, headers=headers, timeout=limit, redirect=False, preload_content=False)
        except Exception as error:
            return self._failed(error)
        try:
            body = response.read(LARGEST, decode_content=True)
        except Exception as error:
            return self._failed(_Unread(str(error)), error)
        finally:
            response.close()
        self._answer.note(response.status, response.reason, body, response.headers.get("Content-Type", ""))
        return Reply(response.status, response.reason, fields=response.headers)

    def is_connection_error(self, error: Exception | None) -> bool:
        """Whether the batch may be sent again: not when its answer broke off, since the collector may have it."""
        return isinstance(error, urllib3.exceptions.HTTPError)

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()

    def _failed(self, error: Exception, cause: Exception | None = None) -> Reply:
        self._answer.failure = told(cause or error)
        return Reply(error=error)


class _Unread(Exception):
    """A request was answered, and the answer could not be read."""


def _certificates(environment: Mapping[str, str], signal: Signal) -> dict[str, Any]:
    """What to trust and to show, by the standard variables; else what requests would trust."""
    import certifi  # with what it imports 0.5 MiB

    authority = first(environment, signal, "CERTIFICATE") or next(filter(None, map(environment.get, _BUNDLES)), None) or certifi.where()
    found: dict[str, Any] = {
        "cert_file": first(environment, signal, "CLIENT_CERTIFICATE") or None,
        "key_file": first(environment, signal, "CLIENT_KEY") or None,
    }
    return {**found, "cert_reqs": "CERT_REQUIRED", "ca_cert_dir" if os.path.isdir(authority) else "ca_certs": authority}
