"""Runs a scenario beside an agent: healthy, then with the fault, then until it is over; and notes what the agent said when."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.ground import Ground, cgroup
from tests.lab.scenarios import VICTIM, Scenario, Stage, injected

_SETTLED = 8


@dataclass(frozen=True)
class Outcome:
    """One run: the causes of the incidents that opened, in the order of their rank, and after how many seconds each was first right."""

    scenario: str
    truth: tuple[str, ...]
    said: tuple[str, ...]
    ranked: tuple[str, ...]
    seconds: float | None
    subject: str
    culprit: str
    culprit_right: bool | None
    incidents: int
    impact: bool
    evidence: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def right(self) -> bool:
        """Whether the first cause is right; without a fault, whether nothing was said."""
        return not self.said if not self.truth else bool(self.said) and self.said[0] in self.truth


def api(url: str, view: str) -> Any:
    """Ask the agent."""
    with urllib.request.urlopen(f"{url}/api/v1/{view}", timeout=10) as answer:
        return json.loads(answer.read())


@contextmanager
def staged(scenario: Scenario, ground: Ground, number: int) -> Iterator[Stage]:
    """The victim, at work."""
    with ExitStack() as stack:
        victim, aggressor = (stack.enter_context(cgroup(f"{name}{number}")) for name in ("q4x", "z8m"))
        disk = scenario.disk(ground, stack) if scenario.disk else ground.disks[number % len(ground.disks)]
        stage = Stage(ground, disk, victim, aggressor, stack)
        if scenario.victim:
            load = scenario.victim
            path = ground.file(disk, "v", load.size)
            process = ground.start(victim, VICTIM, path, load)
            stack.callback(ground.stop, process)
        yield stage


def run(url: str, scenario: Scenario, ground: Ground, number: int, healthy: float, fault: float, cool: float) -> Outcome:
    """Run it once."""
    with staged(scenario, ground, number) as stage:
        time.sleep(healthy)
        began = time.time()
        with injected(scenario, stage):
            found = _watch(url, scenario, began, fault)
            found.analyses = api(url, "analyses?limit=4")["analyses"]
        culprit = stage.aggressor.unit
    time.sleep(cool)
    return _outcome(scenario, found, culprit)


@dataclass
class _Found:
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float | None = None
    impact: bool = False
    analyses: list[dict[str, Any]] = field(default_factory=list)


def _watch(url: str, scenario: Scenario, began: float, fault: float) -> _Found:
    found = _Found()
    right_for = 0.0
    while time.time() < began + fault:
        time.sleep(1)
        for own in api(url, "incidents?state=open")["incidents"]:
            if own["updated_time_ns"] / 1e9 >= began:
                found.incidents[own["id"]] = own
                if found.seconds is None and own["cause"] in scenario.truth:
                    found.seconds = time.time() - began
        found.impact = found.impact or any(own["end_time_ns"] / 1e9 > began + 5 for own in api(url, "analyses?limit=1")["analyses"])
        right_for = right_for + 1 if found.seconds is not None else 0
        if right_for > 25:
            break
    return found


def _outcome(scenario: Scenario, found: _Found, culprit: str) -> Outcome:
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
        (blamed == culprit) if scenario.culprit and first else None,
        len(incidents),
        found.impact,
        (*incidents, *found.analyses),
    )


def quiet(url: str, folder: Path, seconds: float = 120) -> None:
    """Wait until no incident is open."""
    deadline = time.monotonic() + seconds
    while api(url, "incidents?state=open")["incidents"] and time.monotonic() < deadline:
        time.sleep(2)
    assert folder.exists()
