"""selftest/cost.py: what the probes add, and when a figure is for information only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from perflens.selftest.cost import BOUND, Price
from perflens.selftest.workload import WorkloadError
from tests.unit.selftest.cases import FAMILY


class FakeWorkload:
    """Its loop takes these ns an operation, one time after the other."""

    def __init__(self, *times: float | WorkloadError) -> None:
        self._times = list(times)

    def prepare(self, *_: object) -> None:
        """Nothing to do."""

    def tight(self, *_: object) -> float:
        now = self._times.pop(0)
        if isinstance(now, WorkloadError):
            raise now
        return now


def verdict(workload: Any, monkeypatch: pytest.MonkeyPatch, load: float = 0.0) -> str:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    price = Price("disk", FAMILY, Path("/data"))
    price.before(workload)
    return price.check(workload, attaches=True).verdict


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the bound it passes; above it fails, on a busy host or an emulated machine it is for information."""
    assert verdict(FakeWorkload(400.0, 400.0 + BOUND), monkeypatch) == "ok"
    assert verdict(FakeWorkload(400.0, 401.0 + BOUND), monkeypatch) == "failed"
    assert verdict(FakeWorkload(400.0, 401.0 + BOUND), monkeypatch, load=1_000.0) == "skipped"
    assert verdict(FakeWorkload(30_000.0, 95_000.0), monkeypatch) == "skipped"
    assert verdict(FakeWorkload(400.0, 390.0), monkeypatch) == "ok"


def test_loop_that_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the two times there is nothing to compare."""
    assert verdict(FakeWorkload(WorkloadError("no space"), 400.0), monkeypatch) == "skipped"
    assert verdict(FakeWorkload(400.0, WorkloadError("no space")), monkeypatch) == "skipped"


def test_probes_that_were_attached_before() -> None:
    """An agent that runs does not let go for us."""
    workload: Any = FakeWorkload()

    assert Price("disk", FAMILY, Path("/data")).check(workload, attaches=False).verdict == "skipped"
