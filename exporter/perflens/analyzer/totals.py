"""What the accumulators had counted at one moment, and what came between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["OperationKey", "OperationTotal", "RequestKey", "RequestTotal", "Totals"]


class OperationKey(NamedTuple):
    """Operations of files, by owner."""

    operation: str
    owner: str


class OperationTotal(NamedTuple):
    """All operations and their ns; those over the threshold and theirs."""

    number: int
    ns: int
    slow: int
    slow_ns: int


class RequestKey(NamedTuple):
    """Requests of a disk, by owner."""

    operation: str
    device: str
    owner: str


class RequestTotal(NamedTuple):
    """Requests, their bytes, and their ns held back, in the queue and on the device."""

    number: int
    bytes: int
    held: int
    queue: int
    device: int


_NO_OPERATIONS, _NO_REQUESTS = OperationTotal(0, 0, 0, 0), RequestTotal(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Cumulative counts at ``time`` (ns of CLOCK_MONOTONIC), or what was counted in ``time`` ns.

    ``waits`` has the ns that operations were off the CPU, by owner and reason.
    """

    time: int
    operations: Mapping[OperationKey, OperationTotal] = field(default_factory=dict)
    requests: Mapping[RequestKey, RequestTotal] = field(default_factory=dict)
    waits: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def slow(self) -> dict[str, float]:
        """The ns of slow operations of each owner that has any."""
        found: dict[str, float] = {}
        for key, total in self.operations.items():
            if total.slow_ns:
                found[key.owner] = found.get(key.owner, 0.0) + total.slow_ns
        return found

    def since(self, before: Totals) -> Totals:
        """Return what was counted since. A series that expired and came again begins at zero: what it has now is what was counted."""
        operations = {key: OperationTotal(*_less(now, before.operations.get(key, _NO_OPERATIONS))) for key, now in self.operations.items()}
        requests = {key: RequestTotal(*_less(now, before.requests.get(key, _NO_REQUESTS))) for key, now in self.requests.items()}
        return Totals(
            self.time - before.time,
            {key: value for key, value in operations.items() if value.number},
            {key: value for key, value in requests.items() if value.number},
            {key: ns for key, now in self.waits.items() if (ns := now - min(before.waits.get(key, 0), now))},
        )


def _less(now: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    if now[0] < before[0]:
        return now
    return tuple(max(mine - other, 0) for mine, other in zip(now, before, strict=True))
