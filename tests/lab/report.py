"""docs/lab.md: what the analyzer said of each fault, and what it said when nothing was wrong."""

# ruff: noqa: E501  (paragraphs of a page)
from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite
from statistics import median

from tests.lab.runs import Outcome
from tests.lab.scores import Negatives, Scores, confusion, negatives, scores

__all__ = ["page"]

_HEAD = """# The fault lab

Known faults on one machine, beside an agent that stays up: healthy work, then the fault at any time between two looks of the agent, under names that say nothing. `make lab` makes more runs and writes this page from all that are kept in `tests/lab/runs`: {runs} from {first} to {last}, on Linux {kernel} with {cpus} CPUs.

A run counts when its victim felt the fault by its own clock: it did half as much, or took twice as long ({felt} of {faulty} did). Before it {busy} of the CPUs' time was in use, in the median. Each fault is made by other means as well (`NAME.MEANS`): those under which no rule was ever made or changed are the scoring half. Runs of one machine are no promise for another.

An answer is right when the first cause of the first incident is the true one. AC@1 and AC@3 are as in RCAEval, precision counts 0 for a run that misses the truth (as ITBench does), and the time is from the first moment of the fault to an open incident with the true cause in front, infinite where there is none.

"""
_NEGATIVES = """
## Nothing is wrong

{hours:.1f} hours of idling, of programs that wait for others and of busy, healthy work: {incidents} incidents.
"""
_ARMS = """
## Compared

| what answers | AC@1, all | AC@1, scoring half |
|---|---|---|
| the rules | {rules} | {rules_again} |
| the metric that moved most, of the same facts | {loud} | {loud_again} |

A model's answers are not measured: none that could be run here is able to answer. It could only move causes whose scores are close, so it is as right as the rules but for those.
"""


def page(runs: Sequence[Outcome], cpus: int) -> str:
    """Return the page."""
    faulty = [own for own in runs if own.truth]
    halves = {"made with": [own for own in faulty if not own.again], "scoring": [own for own in faulty if own.again]}
    first, last = (runs[0].when[:10], runs[-1].when[:10]) if runs else ("-", "-")
    felt = sum(own.felt for own in faulty)
    busy = _part(own for run in faulty if (own := _busy_before(run)) is not None)
    head = _HEAD.format(
        busy=busy,
        runs=len(runs),
        first=first,
        last=last,
        kernel=platform.release().partition("-")[0],
        cpus=cpus,
        felt=felt,
        faulty=len(faulty),
    )
    parts = [
        head,
        _halves(halves),
        _scenarios(runs),
        _confusion(runs),
        _nothing(negatives(runs)),
        _arms(faulty, halves["scoring"]),
        _rules(runs),
    ]
    return "".join(parts)


def _busy_before(run: Outcome) -> float | None:
    """The part of the CPUs' time that was usually in use, by the run's own evidence; None where it has none."""
    signals = (own for each in run.evidence if each.get("recording") for own in each["recording"]["signals"])
    return next((own["baseline"] for own in signals if own["metric"] == "cpu.busy"), None)


def _part(values: Iterable[float]) -> str:
    known = list(values)
    return f"{median(known):.0%}" if known else "an unknown part"


def _halves(halves: dict[str, list[Outcome]]) -> str:
    lines = [
        "| half | runs | AC@1 | AC@3 | precision | cause and culprit | p50 s | p95 s | incidents a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_half(name, own) for name, runs in halves.items() if (own := scores(runs)))]) + "\n"


def _half(name: str, own: Scores) -> str:
    blamed = "" if own.blamed is None else f"{own.blamed:.2f}"
    times = f"{_seconds(own.p50)} | {_seconds(own.p95)}"
    return f"| {name} | {own.runs} | {own.first:.2f} | {own.third:.2f} | {own.precise:.2f} | {blamed} | {times} | {own.incidents:.2f} |"


def _seconds(value: float) -> str:
    return f"{value:.0f}" if isfinite(value) else "never"


def _scenarios(runs: Sequence[Outcome]) -> str:
    head = "\n## By scenario\n\n| scenario | true | runs | felt | right | told first | seconds (median) | right culprit |\n|---|---|---|---|---|---|---|---|\n"
    names = sorted({own.scenario for own in runs})
    return head + "".join(_row([own for own in runs if own.scenario == name]) for name in names)


def _row(runs: Sequence[Outcome]) -> str:
    first = runs[0]
    columns = (
        first.scenario,
        " or ".join(f"`{code}`" for code in first.truth) or "nothing",
        str(len(runs)),
        str(sum(own.felt for own in runs)) if first.truth else "",
        str(sum(own.right for own in runs)),
        ", ".join(f"{code} ({count})" for code, count in Counter(own.said[0] if own.said else "nothing" for own in runs).most_common()),
        _median(own.seconds for own in runs),
        _culprits(own.culprit_right for own in runs),
    )
    return f"| {' | '.join(columns)} |\n"


def _median(values: Iterable[float | None]) -> str:
    known = [own for own in values if own is not None]
    return f"{median(known):.0f}" if known else ""


def _culprits(values: Iterable[bool | None]) -> str:
    known = [own for own in values if own is not None]
    return f"{sum(known)} of {len(known)}" if known else ""


def _confusion(runs: Sequence[Outcome]) -> str:
    found = confusion(runs)
    told = sorted({code for row in found.values() for code in row})
    lines = [f"| true \\ told | {' | '.join(told)} |", "|---" * (len(told) + 1) + "|"]
    lines += [f"| {true} | {' | '.join(str(row[code] or '') for code in told)} |" for true, row in sorted(found.items())]
    return (
        "\n## Confusion matrix\n\nOf the runs that count: the true cause by line, what was told first by column.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _nothing(own: Negatives) -> str:
    return _NEGATIVES.format(hours=own.hours, incidents=own.incidents)


def _arms(faulty: Sequence[Outcome], again: Sequence[Outcome]) -> str:
    every, half = scores(faulty), scores(again)
    if not every:
        return ""
    names = {"rules": every.first, "loud": every.loud, "rules_again": half and half.first, "loud_again": half and half.loud}
    return _ARMS.format(**{name: "" if value is None else f"{value:.2f}" for name, value in names.items()})


def _rules(runs: Sequence[Outcome]) -> str:
    counts = Counter(own.rules for own in runs)
    return (
        "\nThe rules' text changes between runs; runs by its hash: "
        + ", ".join(f"`{name}` {count}" for name, count in counts.items())
        + ".\n"
    )
