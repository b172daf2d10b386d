"""docs/lab.md: what the analyzer said of each fault, and what it said when nothing was wrong."""

# ruff: noqa: E501  (paragraphs of a page)
from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median

from tests.lab.run import Outcome

__all__ = ["page"]

_HEAD = """# The fault lab

Known faults on one machine, beside an agent that stays up: {healthy:.0f} s of healthy work, then the fault for up to {fault:.0f} s, under names that say nothing. Written by `{command}` on {date}, on Linux {kernel} with {cpus} CPUs.

An answer is right when the first cause of the first incident is the true one; without a fault, when there is no incident. The thresholds were set by hand with some of these scenarios at hand: this is no score on faults that nobody has seen.

{right} of {runs} runs were right.

| scenario | true | runs | right | first causes told | seconds until it was told (median) | incidents a run | right culprit |
|---|---|---|---|---|---|---|---|
"""


def page(outcomes: Sequence[Outcome], command: str, healthy: float, fault: float, cpus: int) -> str:
    """Return the page."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    right = sum(own.right for own in outcomes)
    head = _HEAD.format(
        healthy=healthy, fault=fault, command=command, date=date, kernel=platform.release(), cpus=cpus, right=right, runs=len(outcomes)
    )
    names = dict.fromkeys(own.scenario for own in outcomes)
    return head + "".join(_row([own for own in outcomes if own.scenario == name]) for name in names)


def _row(runs: Sequence[Outcome]) -> str:
    first = runs[0]
    columns = (
        first.scenario,
        " or ".join(f"`{code}`" for code in first.truth) or "nothing",
        str(len(runs)),
        str(sum(own.right for own in runs)),
        _told(runs),
        _seconds(own.seconds for own in runs),
        f"{sum(own.incidents for own in runs) / len(runs):.1f}",
        _culprits(own.culprit_right for own in runs),
    )
    return f"| {' | '.join(columns)} |\n"


def _told(runs: Sequence[Outcome]) -> str:
    counts = Counter(own.said[0] if own.said else "nothing" for own in runs)
    return ", ".join(f"{code} ({count})" if len(runs) > 1 else code for code, count in counts.most_common())


def _seconds(values: Iterable[float | None]) -> str:
    known = [own for own in values if own is not None]
    return f"{median(known):.0f}" if known else ""


def _culprits(values: Iterable[bool | None]) -> str:
    known = [own for own in values if own is not None]
    return f"{sum(known)} of {len(known)}" if known else ""
