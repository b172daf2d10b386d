"""Does the ledger of a probe close: is every operation that entered accounted for?"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from perflens.selftest.model import Check
from perflens.selftest.page import Page

__all__ = ["check", "gap"]

_ENTERED = "perflens_probe_operations_entered_total"
_PAUSE = 0.05
_TRIES = 40
_MOMENT = Decimal("0.02")  # s: the terms are read one after the other, and a busy host goes on meanwhile


def gap(page: Page, probe: str) -> int:
    """Return how many operations of a probe the ledger does not account for."""
    outcomes = page.total("perflens_probe_operations_total", probe=probe)
    return int(page.total(_ENTERED, probe=probe) - outcomes - page.total("perflens_probe_operations_in_flight", probe=probe))


def check(family: str, page: Callable[[], Page], deadline: float) -> Check:
    """Read the page until the ledger closes, but for what ran while it was read; a loss stays, and is found."""
    least, rate, before, began = None, Decimal(0), None, time.monotonic()
    for _ in range(_TRIES):
        now = page()
        entered, open_by = now.total(_ENTERED, probe=family), gap(now, family)
        if before is not None:
            rate = max(rate, (entered - before) / Decimal(max(time.monotonic() - began, 1e-3)))
        before, began = entered, time.monotonic()
        least = open_by if least is None or abs(open_by) < abs(least) else least
        if abs(least) <= rate * _MOMENT:
            found = f"closed, {int(entered)} entered" if not least else f"open by {least} of {int(entered)}"
            return Check(family, "ledger", "closed", found, "ok")
        if time.monotonic() + _PAUSE > deadline:
            break
        time.sleep(_PAUSE)
    reason = "operations were lost; see docs/architecture.md#the-ledger, and report this as a bug"
    return Check(family, "ledger", "closed", f"open by {least}", "failed", reason)
