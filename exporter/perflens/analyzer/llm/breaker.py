"""Stops requests that cannot succeed: for as long as the reason of the last failure lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from perflens.analyzer.llm.failures import FailureKind

__all__ = ["Breaker", "BreakerState"]

BreakerState = Literal["closed", "open", "half_open"]

_FOREVER = float("inf")
_LASTS: Mapping[FailureKind, float] = {
    "auth": _FOREVER,
    "quota": 6 * 3_600.0,
    "config": 600.0,
    "certificate": 600.0,
    "request": 600.0,
}
"""Seconds until another try by kind of failure: a token is not right until somebody writes another; a model may be pulled at any time."""

_ROW = 5
_FIRST, _LONGEST = 120.0, 1_800.0


class Breaker:
    """Open after a failure that lasts, or after five passing ones in a row: 2 minutes, doubling up to 30. ``now`` is a steady clock's."""

    def __init__(self) -> None:
        self._until = 0.0
        self._row = 0
        self._pause = 0.0

    def state(self, now: float) -> BreakerState:
        """Return ``half_open`` while the next request decides."""
        if now < self._until:
            return "open"
        return "half_open" if self._until else "closed"

    def allows(self, now: float) -> bool:
        """Whether a request may be sent."""
        return self.state(now) != "open"

    def succeed(self) -> None:
        """Note that the server answered."""
        self._until = self._pause = 0.0
        self._row = 0

    def fail(self, kind: FailureKind, now: float) -> None:
        """Note a failure; requests that were refused for their form say nothing of the next one, which has another."""
        lasts = _LASTS.get(kind)
        if lasts is not None:
            self._until = now + lasts
        elif kind in ("rate", "transient", "timeout", "size"):
            self._row += 1
            if self._row >= _ROW:
                self._pause = min(_LONGEST, self._pause * 2 or _FIRST)
                self._until = now + self._pause

    def reset(self) -> None:
        """Close it: the configuration was read again."""
        self.succeed()
