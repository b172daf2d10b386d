"""What became of the annotations, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["SinkCounts", "Tally"]


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """``delivered`` by operation (create, update, resolve, tidy), requests that ``failed`` and incidents that were ``dropped`` by reason.

    ``pending`` is how many annotations have something unsent, ``up`` whether the last request got a proper answer.
    """

    delivered: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    up: bool = False


class Tally:
    """The counters behind SinkCounts."""

    def __init__(self) -> None:
        self.delivered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def drop(self, reason: str) -> None:
        """Count one that will not be shown."""
        self.dropped[reason] += 1

    def counts(self, pending: int, up: bool) -> SinkCounts:
        """Return the numbers of now."""
        delivered, failed, dropped = (MappingProxyType(dict(each)) for each in (self.delivered, self.failed, self.dropped))
        return SinkCounts(delivered, failed, dropped, pending, up)
