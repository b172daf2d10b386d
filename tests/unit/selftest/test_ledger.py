"""selftest/ledger.py: a ledger that closes, one that is open for a moment, and one that stays open."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from perflens.selftest import ledger
from perflens.selftest.page import Page


class Host:
    """An agent whose pages are read at these times; ``lost`` are missing in each, ``passing`` only in those not read at rest."""

    def __init__(self, *, lost: int, rate: int, passing: Callable[[int], int] = lambda _: 0) -> None:
        self.lost, self.rate, self.passing = lost, rate, passing
        self.now, self.pages = 0.0, 0

    def page(self) -> Page:
        self.pages += 1
        self.now += 0.05
        entered = 1_000 + int(self.rate * self.now)
        done = entered - 2 - self.lost - self.passing(self.pages)
        return Page(
            f'perflens_probe_operations_entered_total{{probe="disk"}} {entered}.0\n'
            f'perflens_probe_operations_total{{probe="disk",outcome="aggregated"}} {done}\n'
            'perflens_probe_operations_in_flight{probe="disk"} 2\nperflens_probe_operations_entered_total{probe="other"} 7\n'
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def check(monkeypatch: pytest.MonkeyPatch, host: Host, deadline: float = math.inf) -> tuple[str, str]:
    monkeypatch.setattr(ledger, "time", SimpleNamespace(monotonic=lambda: host.now, sleep=host.sleep))
    found = ledger.check("disk", host.page, deadline)
    return found.verdict, found.found


def test_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host at rest the first page is enough."""
    host = Host(lost=0, rate=0)

    assert check(monkeypatch, host) == ("ok", "closed, 1000 entered")
    assert host.pages == 1


def test_open_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran while the page was read is no loss: it is gone on a later page, or less than the host's own rate."""
    assert check(monkeypatch, Host(lost=0, rate=0, passing=lambda page: 40 if page < 5 else 0))[0] == "ok"
    assert check(monkeypatch, Host(lost=0, rate=100_000, passing=lambda page: 900 + page))[0] == "ok"


@pytest.mark.parametrize("lost", [1, -1, 1_000_000])
def test_loss_stays(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    """A loss, or an operation that is counted twice, is found."""
    host = Host(lost=lost, rate=10)

    assert check(monkeypatch, host) == ("failed", f"open by {lost}")
    assert check(monkeypatch, Host(lost=lost, rate=10), deadline=0.2)[0] == "failed"
