"""Who lost time to a CPU quota: since Linux 6.18 threads are stopped on their way to user space, so that no operation is slow for it.

("sched/fair: Switch to task based throttle model".)
"""

from __future__ import annotations

from collections.abc import Iterable

from perflens.analysis import Signal, Subject
from perflens.analyzer.scene import Usual, rates_of
from perflens.analyzer.totals import Totals

__all__ = ["stopped"]

_LEAST_TIME, _LEAST_PERIODS, _TIMES, _LESS = 0.1, 0.1, 2, 0.7


def stopped(totals: Totals, host: Iterable[Signal], changes: Iterable[Signal], usual: Usual) -> dict[Subject, float]:
    """Return the seconds for which owners were stopped, of those whom it hurts: twice as long as usual, and a tenth of the time.

    A quota that is always met is what its owner was given, and one that a new load meets is what it is for. It hurts who does
    clearly less than usual, or has had another quota before.
    """
    values = {(own.metric, own.subject): own.value for own in host if own.metric in ("cpu.throttled", "cpu.throttled_time")}
    requoted = {own.subject for own in changes if own.metric == "changed.cpu_quota"}
    rates, seconds = rates_of(totals), totals.time / 1e9
    found = {}
    for (metric, owner), held in values.items():
        if metric != "cpu.throttled_time" or held < _LEAST_TIME or values.get(("cpu.throttled", owner), 0.0) < _LEAST_PERIODS:
            continue
        before, often = usual(metric, owner), usual("operation.rate", owner)
        does_less = bool(often) and rates.get(owner, 0.0) <= _LESS * (often or 0.0)
        if before is not None and held >= _TIMES * before and (does_less or owner in requoted):
            found[owner] = held * seconds
    return found
