"""How often the analyzer is right, by the measures that the field uses: pure functions of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf

from tests.lab.loudest import loudest
from tests.lab.runs import Outcome

__all__ = ["Negatives", "Scores", "confusion", "negatives", "scores"]

NOTHING = "nothing"


@dataclass(frozen=True)
class Scores:
    """Of runs whose fault was felt.

    ``first`` and ``third``: the part in which a true cause was the first one, and among the first three (AC@1, AC@3: Pham et al.,
    RCAEval). ``precise``: the part of the causes told that are true, 0 for a run that misses the truth. ``blamed``: first cause and
    culprit right, of those with a culprit. ``p50`` and ``p95``: seconds until the true cause was the first one of an open incident, inf
    when it never was. ``incidents``: how many a run opened. ``loud``: the part in which the loudest metric is right.
    """

    runs: int
    first: float
    third: float
    precise: float
    blamed: float | None
    p50: float
    p95: float
    incidents: float
    loud: float


@dataclass(frozen=True)
class Negatives:
    """Of runs in which nothing was wrong: how long they were in hours, and how many incidents opened."""

    hours: float
    incidents: int


def scores(runs: Sequence[Outcome]) -> Scores | None:
    """Score the runs that count; None when there are none."""
    counted = [own for own in runs if not own.is_negative]
    if not counted:
        return None
    blamed = [own.right and own.culprit_right is True for own in counted if own.culprit_right is not None]
    times = sorted(inf if own.seconds is None else own.seconds for own in counted)
    return Scores(
        len(counted),
        _part(own.right for own in counted),
        _part(bool(set(own.ranked[:3]) & set(own.truth)) for own in counted),
        sum(_precise(own) for own in counted) / len(counted),
        _part(blamed) if blamed else None,
        _quantile(times, 0.5),
        _quantile(times, 0.95),
        sum(len(own.said) for own in counted) / len(counted),
        _part(_loudest(own) in own.truth for own in counted),
    )


def negatives(runs: Sequence[Outcome]) -> Negatives:
    """Return what was told in the runs where nothing is wrong; those with a fault that nobody felt are not among them."""
    counted = [own for own in runs if not own.truth]
    return Negatives(sum(own.lasted for own in counted) / 3600, sum(len(own.said) for own in counted))


def confusion(runs: Sequence[Outcome]) -> dict[str, Counter[str]]:
    """Return what was told first by what is true."""
    found: dict[str, Counter[str]] = {}
    for own in runs:
        if own.felt or not own.truth:
            found.setdefault(" or ".join(own.truth) or NOTHING, Counter())[own.said[0] if own.said else NOTHING] += 1
    return found


def _part(hits: Iterable[bool]) -> float:
    values = list(hits)
    return sum(values) / len(values)


def _precise(run: Outcome) -> float:
    told = set(run.ranked)
    return len(told & set(run.truth)) / len(told) if told & set(run.truth) else 0.0


def _quantile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that this part of all is not above (nearest rank)."""
    return ordered[max(ceil(part * len(ordered)), 1) - 1]


def _loudest(run: Outcome) -> str:
    first = next((own["analysis"] for own in run.evidence if own.get("analysis")), None)
    return loudest(first["facts"]) if first else ""
