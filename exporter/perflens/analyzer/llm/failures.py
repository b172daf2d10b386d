"""Why a request failed, and so whether and when another one may help.

Sources: OpenAI's and Hugging Face's error bodies (`error.code`, `error.message`), RFC 9110 10.2.3 (Retry-After),
draft-ietf-httpapi-ratelimit-headers (`ratelimit: "api";r=0;t=55`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal

__all__ = ["Failure", "FailureKind", "RequestFailed", "failure_of"]

FailureKind = Literal[
    "auth", "quota", "config", "certificate", "request", "format", "parameter", "context", "rate", "transient", "timeout", "size"
]
"""``certificate``: the server's is of no authority that this host knows; ``format``: refused for its response_format; ``parameter``: for
one that this server has not; ``size``: the answer is too large."""

_TRANSIENT = frozenset({408, 409, 425, 500, 502, 503, 504, 529})
_MONEY = re.compile(r"insufficient_quota|credit_balance_exhausted|\w*spend_limit_exceeded|organization_usage_limit_exceeded")
_CONTEXT = re.compile(
    r"context_length_exceeded|context[ _](?:length|window|size)|maximum context|too many tokens|exceeds? the available context"
)
_FORMAT = re.compile(r"response_format|json_schema|json_object|schema|grammar|structured output", re.IGNORECASE)
_PARAMETERS = ("max_completion_tokens", "max_tokens", "seed", "temperature")
_LONGEST_WAIT = 86_400.0
_RESET = re.compile(r"(?:^|;)\s*t\s*=\s*(\d{1,6})\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request. ``status`` is 0 without an answer, ``retry_after`` in seconds, None where the server did not say.

    ``parameter`` is the one that was refused. What the server wrote is not kept: it may hold the token.
    """

    kind: FailureKind
    status: int = 0
    retry_after: float | None = None
    parameter: str = ""

    def __str__(self) -> str:
        return f"{self.kind} (HTTP {self.status})" if self.status else self.kind


class RequestFailed(Exception):
    """A request that got no completion."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def failure_of(status: int, body: bytes, headers: Mapping[str, str], now: float) -> Failure:
    """Return why an answer other than 200 came. ``headers`` are by lower-case name, ``now`` is in seconds since the epoch."""
    code, message = _told(body)
    if status in (400, 413, 422):
        return _refused(status, code, message)
    if status in (401, 403):
        return Failure("auth", status)
    if status == 402 or (status == 429 and _MONEY.fullmatch(code)):
        return Failure("quota", status)
    if status == 429:
        return Failure("rate", status, _retry_after(headers, now))
    if status in _TRANSIENT:
        return Failure("transient", status, _retry_after(headers, now))
    return Failure("config" if status < 500 else "transient", status)


def _refused(status: int, code: str, message: str) -> Failure:
    """Return what of a request was refused, by the words that servers use of it."""
    text = f"{code} {message}"
    if status == 413 or _CONTEXT.search(text.lower()):
        return Failure("context", status)
    named = [name for name in _PARAMETERS if re.search(rf"\b{name}\b", text)]
    if "max_completion_tokens" in named and "max_tokens" in named:
        return Failure("parameter", status, parameter="max_tokens")
    if _FORMAT.search(text):
        return Failure("format", status)
    return Failure("parameter", status, parameter=named[0]) if named else Failure("request", status)


def _told(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error, in any of the forms that servers have; empty where it has none."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        return "", body[:2_048].decode("utf-8", "replace")
    error = whole.get("error", whole) if isinstance(whole, dict) else whole
    if not isinstance(error, dict):
        return "", str(error)[:2_048]
    code = next((value for key in ("code", "type") if isinstance(value := error.get(key), str)), "")
    return code, _text(error.get("message") or error.get("detail"))


def _text(value: Any) -> str:
    return value[:2_048] if isinstance(value, str) else json.dumps(value)[:2_048] if value else ""


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return in how many seconds a server takes requests again."""
    with suppress(ValueError):
        if sent := headers.get("retry-after-ms"):
            return _wait(float(sent) / 1e3)
    sent = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return _wait(float(sent))
    with suppress(ValueError, TypeError, OverflowError):
        date = parsedate_to_datetime(sent)
        return _wait((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    reset = _RESET.search(headers.get("ratelimit", ""))
    return _wait(float(reset[1]) + 1) if reset else None  # the window ends within that second


def _wait(seconds: float) -> float:
    """Return a wait of 0 to 24 hours; ValueError for what is no number."""
    if seconds != seconds:
        raise ValueError("no number")
    return min(max(0.0, seconds), _LONGEST_WAIT)
