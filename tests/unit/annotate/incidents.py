"""Incidents, clocks and sinks for the tests of annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perflens.analysis import Bundle, Fact, Hypothesis, Impact, Incident, Subject
from perflens.annotate.settings import GrafanaSettings
from perflens.annotate.sink import GrafanaSink
from tests.unit.annotate.server import TOKEN, Grafana, Row

HOST = "web1"
BEGIN = 1_700_000_000
"""When the clocks of the tests begin, in seconds since the epoch."""


def fact(identity: str = "E01", text: str = "device latency p99", value: float = 0.0482, **changes: Any) -> Fact:
    return replace(
        Fact(identity, "block.p99", Subject("device", "sda"), text, value, "s", 0.0013, 8123, "exact", "bpf:block_rq_issue"), **changes
    )


def hypothesis(claim: str = "backup.service keeps sda busy", subject: str = "sda", code: str = "NOISY_NEIGHBOUR_IO") -> Hypothesis:
    return Hypothesis(code, 0.86, Subject("device", subject), None, (), claim, ("E01",), (), 0.81)


def incident(
    identity: str = "0badcafe",
    *,
    opened: float = 0.0,
    updated: float = 30.0,
    resolved: float = 0.0,
    causes: Sequence[Hypothesis] = (hypothesis(),),
    **changes: Any,
) -> Incident:
    """An incident with times in seconds after BEGIN; it was bad until 60 s before it is resolved."""
    facts = (fact(),)
    start, end = _ns(opened), _ns(resolved or updated)
    bundle = Bundle(HOST, start, end, start, Impact(412, 38.24), facts, tuple(causes), "incident")
    last_bad = _ns(resolved - 60 if resolved else updated)
    made = Incident(
        identity,
        HOST,
        "resolved" if resolved else "open",
        "warning",
        start,
        end,
        last_bad,
        _ns(resolved) if resolved else 0,
        "reads of sda wait for the backup",
        tuple(causes),
        bundle,
    )
    return replace(made, **changes)


def _ns(seconds: float) -> int:
    return int((BEGIN + seconds) * 1_000_000_000)


def ms(seconds: float) -> int:
    return int((BEGIN + seconds) * 1_000)


@dataclass
class Clock:
    """Seconds that pass when a test says so; ``random`` is what share of its range a random number is."""

    passed: float = 0.0
    random: float = 1.0

    def wall(self) -> float:
        return BEGIN + self.passed

    def monotonic(self) -> float:
        return 1_000.0 + self.passed

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random


def settings(url: str, folder: Path | None = None, **changes: Any) -> GrafanaSettings:
    made = GrafanaSettings(url, TOKEN, HOST, "https://agent.example", str(folder / "outbox") if folder else "")
    return replace(made, **changes)


def sink_of(own: GrafanaSettings, clock: Clock) -> GrafanaSink:
    return GrafanaSink(own, wall=clock.wall, monotonic=clock.monotonic, uniform=clock.uniform)


async def work(sink: GrafanaSink, clock: Clock, seconds: float = 0.0) -> None:
    """Let the sink work, and so many seconds pass as it would wait, until these are over or it waits for a put."""
    until = clock.passed + seconds
    for _ in range(10_000):
        wait = await sink.turn()
        if wait is None or clock.passed + wait > until:
            clock.passed = max(clock.passed, until)
            return
        clock.passed += wait
    raise AssertionError("the sink does not come to rest")


async def abandon(sink: GrafanaSink) -> None:
    """What the kernel does for a process that was killed."""
    await sink._worker.close()


def only(grafana: Grafana) -> Row:
    """The one annotation that there is."""
    (row,) = grafana.rows.values()
    return row


def methods(grafana: Grafana) -> list[str]:
    return [method for method, _ in grafana.asked]
