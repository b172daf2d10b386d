"""Runs a scenario beside an agent: healthy, then with the fault, then until it is over; and notes what the agent said when."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.lab.gauge import Gauge, Pace, felt, gauge, pace
from tests.lab.ground import Ground, cgroup
from tests.lab.runs import Outcome, nameless, rules
from tests.lab.scenarios import VICTIM, Scenario, Stage, injected

__all__ = ["Times", "quiet", "run"]

_PERIOD = 10.0  # the agent looks this often: a fault begins anywhere between two looks
_ENOUGH = 25  # how long to watch on once the cause was told: it may change, or a second incident open
_ONSET = 5.0


@dataclass(frozen=True)
class Times:
    """How long each part of a run takes, in s: healthy, then the fault at most so long, then rest."""

    healthy: float
    fault: float
    cool: float


def api(url: str, view: str) -> Any:
    """Ask the agent."""
    with urllib.request.urlopen(f"{url}/api/v1/{view}", timeout=10) as answer:
        return json.loads(answer.read())


@contextmanager
def staged(scenario: Scenario, ground: Ground, number: int, own: Gauge) -> Iterator[Stage]:
    """The victim, at work."""
    with ExitStack() as stack:
        victim, aggressor = (stack.enter_context(cgroup(f"{name}{number}")) for name in ("q4x", "z8m"))
        disk = scenario.disk(ground, stack) if scenario.disk else ground.disks[number % len(ground.disks)]
        victim.set("cpu", "cpu.shares", str(scenario.shares))
        stage = Stage(ground, disk, victim, aggressor, stack)
        if scenario.victim:
            load = scenario.victim
            path = ground.file(disk, "v", load.size)
            process = ground.start(victim, VICTIM, path, load, own)
            stack.callback(ground.stop, process)
        yield stage


def run(url: str, scenario: Scenario, ground: Ground, number: int, times: Times) -> Outcome:
    """Run it once. The fault begins at any time between two looks of the agent."""
    phase = random.Random(f"{scenario.name} {number}").uniform(0, _PERIOD)
    with gauge() as own, staged(scenario, ground, number, own) as stage:
        time.sleep(times.healthy / 2)
        start = own.read()
        time.sleep(times.healthy / 2 + phase)
        healthy, began = pace(start, own.read()), time.time()
        with injected(scenario, stage):
            found = _watch(url, scenario, began, times.fault, own)
            found.analyses = api(url, "analyses?limit=1")["analyses"]
            culprits = {stage.aggressor.unit, *(f"[{pid}]" for pid in stage.aggressor.pids)}
    time.sleep(times.cool)
    return _outcome(scenario, found, culprits, healthy)


@dataclass
class _Found:
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float | None = None
    pace: Pace = field(default_factory=Pace)
    lasted: float = 0.0
    analyses: list[dict[str, Any]] = field(default_factory=list)


def _watch(url: str, scenario: Scenario, began: float, fault: float, own: Gauge) -> _Found:
    found = _Found()
    time.sleep(_ONSET)
    start = own.read()
    while (now := time.time()) < began + fault and not (found.seconds is not None and now - began > found.seconds + _ENOUGH):
        time.sleep(1)
        for each in api(url, "incidents?state=open")["incidents"]:
            if each["updated_time_ns"] / 1e9 >= began:
                found.incidents[each["id"]] = each
                if found.seconds is None and each["cause"] in scenario.truth:
                    found.seconds = time.time() - began
    found.pace, found.lasted = pace(start, own.read()), time.time() - began
    return found


def _outcome(scenario: Scenario, found: _Found, culprits: Collection[str], healthy: Pace) -> Outcome:
    incidents = sorted(found.incidents.values(), key=lambda own: own["opened_time_ns"])
    first = incidents[0] if incidents else None
    causes = first["causes"] if first else []
    blamed = (causes[0]["culprit"] or {}).get("name", "") if causes else ""
    return Outcome(
        scenario.name,
        tuple(sorted(scenario.truth)),
        tuple(own["cause"] for own in incidents),
        tuple(own["code"] for own in causes),
        found.seconds,
        first["subject"]["name"] if first else "",
        blamed,
        bool({blamed, "[" + blamed.rpartition("[")[2]} & set(culprits)) if scenario.culprit and first else None,
        scenario.again,
        felt(healthy, found.pace),
        found.lasted,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        rules(),
        (healthy.rate, healthy.p95, found.pace.rate, found.pace.p95),
        tuple(nameless([*incidents, *found.analyses])),
    )


def quiet(url: str, seconds: float = 120) -> None:
    """Wait until no incident is open."""
    deadline = time.monotonic() + seconds
    while api(url, "incidents?state=open")["incidents"] and time.monotonic() < deadline:
        time.sleep(2)
