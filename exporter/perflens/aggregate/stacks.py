"""Identical stacks of slow operations, counted over the last five minutes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from perflens.aggregate.panes import Panes
from perflens.model import Evidence

__all__ = ["Stack", "StackKey", "Stacks"]

_WIDTH, _PANES = 60_000_000_000, 5


class StackKey(NamedTuple):
    """What is counted as one: the operation, whose it is, and where it waited."""

    probe: str
    operation: str
    owner: str
    kernel: tuple[str, ...]
    user: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack with the operations that had it: how many, the ns they took, the longest."""

    key: StackKey
    count: int
    total: int
    maximum: int


class _Pane(dict[StackKey, list[int]]):
    """Rows of [count, total, maximum]."""


class Stacks:
    """Stacks by slow time. At most ``limit`` are kept; ``evicted`` counts those that had to go before their time."""

    def __init__(self, limit: int = 768) -> None:
        self._limit = max(limit // (_PANES + 1), 4)
        self._panes = Panes(_Pane, width=_WIDTH, count=_PANES)
        self.evicted = 0

    def add(self, evidence: Evidence) -> None:
        """Count an operation that ended; one without stacks counts for nothing."""
        event = evidence.event
        if event.in_progress or not (evidence.kernel_stack or evidence.user_stack):
            return
        pane = self._panes.at(event.start + event.duration)
        if pane is None:
            return
        key = StackKey(event.probe, event.operation, evidence.owner.name, evidence.kernel_stack, evidence.user_stack)
        row = pane.get(key)
        if row is None:
            if len(pane) >= self._limit:
                self._evict(pane)
            row = pane[key] = [0, 0, 0]
        row[0] += 1
        row[1] += event.duration
        row[2] = max(row[2], event.duration)

    def top(self, now: int, limit: int, *, probe: str = "", operation: str = "", owner: str = "") -> list[Stack]:
        """Return the stacks with the most slow time in the window that ends at ``now``, ns of CLOCK_MONOTONIC."""
        merged: dict[StackKey, list[int]] = {}
        for pane in self._panes.within(now):
            for key, (count, total, maximum) in pane.items():
                if probe in ("", key.probe) and operation in ("", key.operation) and owner in ("", key.owner):
                    row = merged.setdefault(key, [0, 0, 0])
                    row[:] = row[0] + count, row[1] + total, max(row[2], maximum)
        return heapq.nlargest(limit, (Stack(key, *row) for key, row in merged.items()), key=attrgetter("total"))

    def _evict(self, pane: _Pane) -> None:
        light = heapq.nsmallest(max(1, self._limit // 4), pane, key=lambda key: pane[key][1])
        for key in light:
            del pane[key]
        self.evicted += len(light)
