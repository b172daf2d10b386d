"""The metrics of the analyzer beside a fleet: its agents, what it merged, and its incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from perflens.fleet.counts import FleetCounts
from perflens.model import WebCounts
from perflens.selfmetrics import (
    OwnMetrics,
    build_info,
    by_label,
    closed_metric,
    counter,
    gauge,
    incident_metrics,
    numbers,
    telling_metrics,
    web_metrics,
)

__all__ = ["FleetMetrics"]


class _FleetCollector(Collector):
    def __init__(self, read: Callable[[], FleetCounts], web: Callable[[], WebCounts | None], closed: Mapping[str, int]) -> None:
        self._read, self._web, self._closed = read, web, closed

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        own = self._read()
        yield from build_info()
        yield from _agents(own)
        yield from _rounds(own)
        yield from incident_metrics(own.analysis)
        yield from telling_metrics(own.analysis)
        yield closed_metric(dict(self._closed))
        if web := self._web():
            yield from web_metrics(web)


def _agents(own: FleetCounts) -> Iterator[Metric]:
    yield from numbers(
        gauge,
        ("fleet_agents", "Agents that `perflens analyze` reads.", own.agents),
        ("fleet_agents_up", "Hosts whose agent answered when it was last asked.", own.up),
        ("fleet_agents_left_out", "Agents that are not asked because there are too many.", own.left_out),
    )
    reads = {outcome: own.reads.get(outcome, 0) for outcome in sorted({"ok", *own.reads})}
    yield by_label(counter, "fleet_reads", "Requests to agents, by what became of them.", "outcome", reads)


def _rounds(own: FleetCounts) -> Iterator[Metric]:
    yield from numbers(
        counter,
        ("fleet_rounds", "Times that the agents were asked.", own.rounds),
        ("fleet_round_failures", "Of these, those that failed by a bug.", own.failed),
        ("fleet_round_duration_seconds", "Time that they took.", own.seconds),
        ("fleet_resolve_failures", "Times that the agents' name could not be resolved.", own.unresolved),
        ("fleet_incidents_lost", "Incidents of hosts that are over because their agent was silent for ten minutes.", own.lost),
        ("fleet_incidents_dropped", "Incidents of hosts that there was no room for, each time that they were read.", own.dropped),
        ("fleet_incidents_unreadable", "Incidents in agents' answers that are none of this version.", own.unreadable),
    )
    merges = {reason: own.merges.get(reason, 0) for reason in ("volume", "workload", "cause")}
    yield by_label(counter, "fleet_merges", "Incidents that became a part of another one, by what they share.", "reason", merges)


class FleetMetrics(OwnMetrics):
    """A registry of its own, with the metrics of the process and the interpreter beside the fleet's."""

    def __init__(
        self,
        read: Callable[[], FleetCounts],
        web: Callable[[], WebCounts | None] = lambda: None,
        closed: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(_FleetCollector(read, web, closed))
