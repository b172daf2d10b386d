"""Which findings stand on their own, and how much of what is slow they explain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import HOST, Subject
from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AllOf, AnyOf, Case, Condition, ramp
from perflens.analyzer.judge import Scene, judge
from perflens.analyzer.signals import Signals
from tests.unit.analyzer.scenes import DISK, OTHER, VICTIM, scene, signal

_ALWAYS = Condition("m", 0, 1, role="host")


def _cause(code: str, **changed: object) -> Cause:
    return replace(Cause(code, "host", "{subject}", (_ALWAYS,)), **changed)  # type: ignore[arg-type]


def _judge(own: Scene, *causes: Cause, value: float = 1.0) -> list[tuple[str, float, bool]]:
    found = judge({cause.code: cause for cause in causes}, Signals([signal("m", HOST, value)]), own)
    return [(one.cause.code, round(one.score, 3), one.contributing) for one in found]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0, 1, 3, 0),
        (1, 1, 3, 0),
        (2, 1, 3, 0.5),
        (3, 1, 3, 1),
        (9, 1, 3, 1),
        (2, 3, 1, 0.5),
        (4, 3, 1, 0),
        (0, 3, 1, 1),
        (1, 1, 1, 1),
        (0, 1, 1, 0),
    ],
)
def test_ramp(value: float, low: float, high: float, expected: float) -> None:
    assert ramp(value, low, high) == expected


@pytest.mark.parametrize(
    ("victim", "other", "expected"),
    [
        ((1.0, 1.0), (0.98, 0.0), OTHER),
        ((1.0, 1.0), None, None),
        ((1.4, 0.1), (0.9, 0.0), VICTIM),
        ((1.0, 0.0), (0.9, 0.0), OTHER),
        ((1.0, None), (0.7, None), VICTIM),
        (None, None, VICTIM),
    ],
)
def test_who_takes_as_much_as_ever_is_no_culprit(
    victim: tuple[float, float | None] | None, other: tuple[float, float | None] | None, expected: Subject | None
) -> None:
    """Of those who use CPUs the one whose use grew most, about as much the one who does not suffer; where nobody measured, the first."""
    used = [signal("cpu.cores", own, *cores) for own, cores in ((VICTIM, victim), (OTHER, other)) if cores]
    own = replace(scene({"runqueue": 1.0}), culprits={("cpu", HOST): (VICTIM, OTHER) if other else (VICTIM,)})

    found = judge({"A": _cause("A", culprit="cpu")}, Signals([signal("m", HOST, 1.0), *used]), own)

    assert [one.case.culprit for one in found] == [expected]


def test_ratio() -> None:
    """A baseline of 0 is exceeded without bound, none at all says nothing, and next to nothing is never much."""
    condition = Condition("m", 2, 4, role="host", of="ratio", missing=0.25, least=10)

    def met(value: float, baseline: float | None) -> float:
        return condition.met(Case(Signals([signal("m", HOST, value, baseline)]), HOST))

    assert (met(30, 10), met(20, 10), met(40, 10), met(100, 0), met(100, None), met(9, 0.1)) == (0.5, 0, 1, 1, 0.25, 0)
    assert condition.met(Case(Signals([]), HOST)) == 0.25


def test_any_and_all() -> None:
    """The best of some, of which what is not met says nothing; where none is met, all do; the worst of all."""
    case = Case(Signals([signal("a", HOST, 0.2), signal("b", HOST, 0.7)]), HOST)
    terms = (Condition("a", 0, 1, role="host"), Condition("b", 0, 1, role="host"))

    assert AnyOf(terms).met(case) == 0.7
    assert AllOf(terms).met(case) == 0.2
    assert [own.metric for own in AnyOf(terms).seen(case)] == ["b"]
    low = Case(Signals([signal("a", HOST, 0.2), signal("b", HOST, 0.3)]), HOST)
    assert [own.metric for own in AnyOf(terms).seen(low)] == ["b", "a"]
    assert [own.metric for own in AllOf(terms).seen(case)] == ["a", "b"]


def test_metric_of_the_disk() -> None:
    condition = Condition("share@", 0, 1, role="culprit")
    case = Case(Signals([signal("share@sda", OTHER, 0.5), signal("share@sdb", OTHER, 1.0)]), DISK, VICTIM, OTHER, DISK)

    assert condition.met(case) == 0.5
    assert condition.met(replace(case, culprit=None)) == 0


def test_score() -> None:
    """Necessary times 0.7 to 1 by what supports it, less what speaks against it, and by the root of what it explains up to 0.4."""
    own = scene({"a": 0.1, "b": 0.9})
    half = Condition("m", 0, 2, role="host")

    assert _judge(own, _cause("X")) == [("X", 1.0, False)]
    assert _judge(own, _cause("X", supporting=(half,))) == [("X", 0.85, False)]
    assert _judge(own, _cause("X", necessary=(_ALWAYS, half))) == [("X", 0.5, False)]
    assert _judge(own, _cause("X", vetoes=(half,))) == [("X", 0.5, False)]
    assert _judge(own, _cause("X", explains=frozenset("b"))) == [("X", 1.0, False)]
    assert _judge(own, _cause("X", explains=frozenset("a"))) == [("X", 0.5, False)]
    assert _judge(own, _cause("X"), value=0.1) == []


def test_what_another_produces_is_contributing() -> None:
    own = scene({"a": 1.0})
    weak, weaker = Condition("m", 0, 1.25, role="host"), Condition("m", 0, 1.6, role="host")

    assert _judge(own, _cause("A", causes=frozenset("B")), _cause("B")) == [("A", 1.0, False), ("B", 1.0, True)]
    assert _judge(own, _cause("A", necessary=(weak,), causes=frozenset("B")), _cause("B")) == [("A", 0.8, False), ("B", 1.0, True)]
    assert _judge(own, _cause("A", necessary=(weaker,), causes=frozenset("B")), _cause("B")) == [("B", 1.0, False), ("A", 0.625, False)]
    assert _judge(own, _cause("A"), _cause("B")) == [("A", 1.0, False), ("B", 1.0, False)]


def test_other_victims_are_not_explained() -> None:
    """What one victim's cause produces is no excuse for another victim's."""
    own = Scene({VICTIM: 5, OTHER: 5}, {}, {VICTIM: {"a": 5}, OTHER: {"a": 5}}, {})
    first, second = (Condition("m", 0, 1, role="subject"),), (Condition("n", 0, 1, role="subject"),)
    causes = [_cause("A", scope="owner", necessary=first, causes=frozenset("B")), _cause("B", scope="owner", necessary=second)]
    found = judge({own.code: own for own in causes}, Signals([signal("m", VICTIM, 1), signal("n", OTHER, 1)]), own)

    assert [(one.cause.code, one.case.subject, one.contributing) for one in found] == [("A", VICTIM, False), ("B", OTHER, False)]


def test_the_disk_below_is_the_same() -> None:
    """Of two disks that the same victims are on the better one is told."""
    below = Subject("device", "sdb")
    own = Scene({VICTIM: 5}, {DISK: {VICTIM: 5}, below: {VICTIM: 5}}, {VICTIM: {"a": 5}}, {})
    cause = _cause("A", scope="device", necessary=(Condition("m", 0, 1),))
    found = judge({"A": cause}, Signals([signal("m", DISK, 1), signal("m", below, 0.9)]), own)

    assert [(one.case.subject, one.contributing) for one in found] == [(DISK, False), (below, True)]


def _owners(number: int, seconds: float = 1.0) -> dict[Subject, float]:
    return {Subject("owner", f"/{one}"): seconds for one in range(number)}


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_many_that_are_slow_each_for_itself(number: int) -> None:
    """They explain together what is slow, and each is told, whatever part of it is its own."""
    owners = _owners(number)
    own = Scene(owners, {}, {owner: {"a": 1.0} for owner in owners}, {})
    cause = _cause("A", scope="owner", necessary=(Condition("m", 0, 1, role="subject"),))
    found = judge({"A": cause}, Signals([signal("m", owner, 1.0) for owner in owners]), own)

    assert [(one.case.subject, one.score, one.contributing) for one in found] == [(owner, 1.0, False) for owner in owners]
    assert [one.explains for one in found] == [pytest.approx(1 / number)] * number


def test_one_for_which_it_hardly_holds_is_not_lifted_by_others() -> None:
    owners = _owners(10)
    own = Scene(owners, {}, {owner: {"a": 1.0} for owner in owners}, {})
    cause = _cause("A", scope="owner", necessary=(Condition("m", 0, 1, role="subject"),))
    signals = Signals([signal("m", owner, 0.45 if number < 2 else 1.0) for number, owner in enumerate(owners)])

    assert {one.case.subject.name for one in judge({"A": cause}, signals, own)} == {f"/{number}" for number in range(2, 10)}


@pytest.mark.parametrize(("seconds", "contributing"), [(4.0, False), (20.0, True)])
def test_what_the_host_waits_for_is_told_beside_a_few_owners(seconds: float, contributing: bool) -> None:
    """An owner's own limit hides what all wait for only where most of what is slow is that owner's."""
    own = Scene({**_owners(10), VICTIM: seconds}, {}, {}, {})
    limit = _cause("L", scope="owner", necessary=(Condition("n", 0, 1, role="subject"),), causes=frozenset("H"))
    signals = Signals([signal("m", HOST, 1.0), signal("n", VICTIM, 1.0)])
    found = judge({"L": limit, "H": _cause("H")}, signals, own)

    assert {one.cause.code: one.contributing for one in found} == {"H": contributing, "L": False}


def test_a_culprit_that_must_be_another() -> None:
    cause = _cause("A", scope="device", necessary=(Condition("m", 0, 1),), culprit="device", other=True)
    signals = Signals([signal("m", DISK, 1)])

    assert judge({"A": cause}, signals, scene({"a": 1.0}, culprit=VICTIM)) == []
    (found,) = judge({"A": cause}, signals, scene({"a": 1.0}, culprit=OTHER))
    assert (found.case.culprit, found.case.victim, found.victims) == (OTHER, VICTIM, (VICTIM,))
