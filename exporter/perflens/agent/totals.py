"""What the accumulators have counted, as the analyzer takes it."""

from __future__ import annotations

from collections.abc import Sequence

from perflens.agent.running import Running, RunningOperations, RunningRequests
from perflens.analyzer.totals import OperationKey, OperationTotal, RequestKey, RequestTotal, Totals
from perflens.model import SLOW_WIDTH

__all__ = ["totals"]

_HELD, _QUEUE, _DEVICE, _LAYER, _BYTES = range(5)  # parts of the family of requests


def totals(running: Sequence[Running], now: int) -> Totals:
    """Return the totals of the probes of operations and of requests, as of their last harvest. The worker calls it."""
    operations: dict[OperationKey, OperationTotal] = {}
    requests: dict[RequestKey, list[int]] = {}
    waits: dict[tuple[str, str], int] = {}
    for own in running:
        if isinstance(own, RunningOperations):
            _operations(own, operations)
            _waits(own, waits)
        elif isinstance(own, RunningRequests):
            _requests(own, requests)
    return Totals(now, operations, {key: RequestTotal(*row) for key, row in requests.items()}, waits)


def _operations(own: Running, found: dict[OperationKey, OperationTotal]) -> None:
    sums: dict[OperationKey, list[int]] = {}
    for key, row in own.family.histograms:
        count, ns = own.family.histograms.rows.head(row)
        total = sums.setdefault(OperationKey(key.operation, key.owner), [0, 0, 0, 0])
        total[0] += count
        total[1] += ns
    for key, row in own.family.slow:
        total = sums.setdefault(OperationKey(key.operation, key.owner), [0, 0, 0, 0])
        total[2], total[3] = own.family.slow.rows.head(row)
    found.update({key: OperationTotal(*total) for key, total in sums.items()})


def _waits(own: Running, found: dict[tuple[str, str], int]) -> None:
    for key, row in own.family.slow:
        values = own.family.slow.rows.values(row)[SLOW_WIDTH:]
        for reason, ns in zip(own.kernel.wait_reasons, values, strict=True):
            if ns:
                found[key.owner, reason] = found.get((key.owner, reason), 0) + ns


def _requests(own: Running, found: dict[RequestKey, list[int]]) -> None:
    for key, row in own.family.histograms:
        if key.part == _LAYER:
            continue
        count, value = own.family.histograms.rows.head(row)
        total = found.setdefault(RequestKey(key.operation, key.object, key.owner), [0, 0, 0, 0, 0])
        if key.part == _BYTES:
            total[1] = value
        else:
            total[2 + key.part] = value
        if key.part == _DEVICE:
            total[0] = count
