"""How long to leave Grafana alone after a failure, and whether it is up."""

from __future__ import annotations

import logging
from collections.abc import Callable

from perflens.annotate.answers import CONFIGURATION, RETRY, Failure
from perflens.logs import fields

__all__ = ["Patience"]

_log = logging.getLogger(__name__)

_FIRST, _LONGEST = 1.0, 60.0
_BREAKER = 600.0


class Patience:
    """``now`` is a monotonic clock in seconds, ``uniform(low, high)`` a random number. ``is_up``: the last request got a proper answer."""

    def __init__(self, now: Callable[[], float], uniform: Callable[[float, float], float]) -> None:
        self._now, self._uniform = now, uniform
        self._failures, self._until = 0, now()
        self._told = ""
        self.is_up = False

    @property
    def wait(self) -> float:
        """How many seconds to wait before the next request."""
        return max(0.0, self._until - self._now())

    def succeeded(self) -> None:
        """Note an answer, be it that one annotation is refused."""
        if self._told:
            _log.info("Grafana takes annotations again")
        self._failures, self._told, self.is_up = 0, "", True

    def failed(self, failure: Failure) -> None:
        """Note a failure: after one that may pass the wait is random below 1, 2, 4 … 60 s, after one that somebody has to cure 10 min."""
        if failure.reason not in RETRY | CONFIGURATION:
            return self.succeeded()
        self.is_up = False
        longest = min(_LONGEST, _FIRST * 2 ** min(self._failures, 10))
        pause = _BREAKER if failure.reason in CONFIGURATION else self._uniform(0.0, longest)
        self._failures += 1
        self._until = self._now() + max(pause, failure.after)
        if self._told != failure.reason:
            self._told = failure.reason
            _log.warning("Grafana takes no annotations", extra=fields(reason=failure.reason, detail=failure.detail, cure=_cure(failure)))
        return None


def _cure(failure: Failure) -> str:
    if failure.reason == "unauthorized":
        return "use the token of a service account with the role Editor"
    if failure.reason in CONFIGURATION:
        return "write the root URL of Grafana, with its sub-path and without redirects"
    return "none: it is tried again"
