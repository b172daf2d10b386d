"""What Grafana's answers mean: whether to try again, when, and what else is to be done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

__all__ = ["CONFIGURATION", "RETRY", "Failure", "Reason", "failure_of", "retry_after"]

Reason = Literal[
    "connect",
    "timeout",
    "throttled",
    "unavailable",
    "answer",
    "conflict",
    "unauthorized",
    "not_found",
    "redirect",
    "refused",
    "detached",
    "too_large",
    "internal",
]

RETRY = frozenset({"connect", "timeout", "throttled", "unavailable", "answer", "conflict", "internal"})
"""The next request may succeed."""

CONFIGURATION = frozenset({"unauthorized", "not_found", "redirect"})
"""No request can succeed until somebody changes the token, the URL or a role."""

_LONGEST_WAIT = 3_600.0


class Failure(Exception):
    """A request without success. ``detail`` is for people and has no token; ``after`` is how many seconds the server wants to rest."""

    def __init__(self, reason: Reason, detail: str, after: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail, self.after = detail, after


def failure_of(status: int, names_row: bool, headers: Mapping[str, str], now: float, message: str = "") -> Failure | None:
    """Return what an answer without success means; None for success. ``names_row``: the path has the id of an annotation; ``now`` in s."""
    if 200 <= status < 300:
        return None
    detail = f"HTTP {status}{f': {message}' if message else ''}"
    return Failure(_reason(status, names_row), detail, retry_after(headers.get("Retry-After", ""), now))


def _reason(status: int, names_row: bool) -> Reason:
    if status == 429:
        return "throttled"
    if status in (408, 425) or status >= 500:
        return "unavailable"
    if status in (401, 403):
        return "unauthorized"
    if status in (404, 410):
        return "detached" if names_row else "not_found"
    if 300 <= status < 400:
        return "redirect"
    return "conflict" if status == 409 else "too_large" if status == 413 else "refused"


def retry_after(value: str, now: float) -> float:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), an hour at most; 0 for none that is valid."""
    try:
        seconds = float(value) if value.strip().isdigit() else _date(value) - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_WAIT) if math.isfinite(seconds) else 0.0


def _date(value: str) -> float:
    parsed = parsedate_to_datetime(value)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
