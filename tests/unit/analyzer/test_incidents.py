"""From the first sign to the end: how often something is told, and under which id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import HOST, Bundle, Hypothesis, Impact, Incident, Subject
from perflens.analyzer.incidents import Explanation, Incidents, is_impact
from tests.unit.analyzer.scenes import DISK, OTHER, VICTIM

_SECOND = 10**9
_TICK = 10 * _SECOND


def _cause(code: str = "A", score: float = 0.9, subject: Subject = DISK, victims: tuple[Subject, ...] = (VICTIM,)) -> Hypothesis:
    return Hypothesis(code, score, subject, None, victims, f"{code} is so.", ("E01",), (), 1.0)


def _bundle(at: int, *causes: Hypothesis, seconds: float = 5.0) -> Bundle:
    end = at * _TICK
    return Bundle("h", end - 2 * _TICK, end, end - _TICK, Impact(40, seconds, {VICTIM: seconds}), (), causes, "incident")


def _run(own: Incidents, first: int, last: int, *causes: Hypothesis, impact: bool = True, seconds: float = 5.0) -> list[Incident]:
    changed = []
    for at in range(first, last + 1):
        changed += own.update(_bundle(at, *causes, seconds=seconds), impact=impact)
    return changed


@pytest.mark.parametrize(
    ("operations", "seconds", "expected"),
    [(10, 0.3, True), (9, 0.5, False), (100, 0.29, False), (0, 0.6, True), (0, 0.5, False)],
)
def test_impact(operations: int, seconds: float, expected: bool) -> None:
    """Ten operations over the threshold and 0.3 s in 30 s, or a fiftieth of a thread's time."""
    assert is_impact(Impact(operations, seconds), 30) is expected


def test_one_incident() -> None:
    """It opens with the second window, is kept up to date, and ends with the fourth quiet one."""
    own = Incidents("h")

    assert _run(own, 1, 1, _cause()) == []
    (opened,) = _run(own, 2, 2, _cause())
    assert (opened.state, opened.cause, opened.subject, opened.severity) == ("open", "A", DISK, "warning")
    assert opened.opened == 2 * _TICK - _TICK
    updated = _run(own, 3, 6, _cause(score=0.85))
    assert {one.id for one in updated} == {opened.id}
    assert updated[-1].last_bad == 6 * _TICK
    assert _run(own, 7, 9, impact=False) == []
    (ended,) = _run(own, 10, 10, impact=False)
    assert (ended.id, ended.state, ended.resolved, ended.last_bad) == (opened.id, "resolved", 10 * _TICK, 6 * _TICK)
    assert (own.open, own.resolved) == ([], [ended])


def test_much_that_is_slow_opens_at_once() -> None:
    assert [one.state for one in _run(Incidents("h"), 1, 1, _cause(), seconds=10.0)] == ["open"]


def test_a_single_window_is_none() -> None:
    own = Incidents("h")
    for at in range(1, 20, 2):
        assert _run(own, at, at, _cause()) == []
        assert _run(own, at + 1, at + 1, impact=False) == []


def test_a_weak_cause_opens_none() -> None:
    assert _run(Incidents("h"), 1, 3, _cause(score=0.45)) == []


def test_unexplained() -> None:
    """Without any cause it is told after four windows, and gets its cause when there is one, under the same id."""
    own = Incidents("h")

    assert _run(own, 1, 3) == []
    (opened,) = _run(own, 4, 4)
    assert (opened.cause, opened.subject, opened.causes) == ("UNEXPLAINED", HOST, ())
    assert "None of the known causes explains it." in opened.summary
    (kept,) = _run(own, 5, 5)
    assert (kept.id, kept.cause) == (opened.id, "UNEXPLAINED")
    (told,) = _run(own, 6, 6, _cause("A", 0.6))
    assert (told.id, told.cause, told.history) == (opened.id, "A", ((6 * _TICK, "UNEXPLAINED"),))
    assert own.all == [told]


@pytest.mark.parametrize("score", [0.3, 0.45])
def test_a_weak_cause_neither_explains_nor_ends_it(score: float) -> None:
    """What is too weak to open an incident does not keep it from being told either."""
    own = Incidents("h")
    changed = _run(own, 1, 40, _cause(score=score))

    assert {(one.state, one.cause) for one in changed} == {("open", "UNEXPLAINED")}
    assert len(changed) == 37
    assert [one.state for one in _run(own, 41, 44, impact=False)] == ["resolved"]


def test_what_others_wait_for_ends_no_unexplained_one() -> None:
    """It is over when its own victims are no longer slow."""
    own = Incidents("h")
    (opened,) = _run(own, 1, 4)
    both = [
        replace(_bundle(at, _cause("A", 0.9, OTHER, (OTHER,))), impact=Impact(40, 5.0, {VICTIM: 4.0, OTHER: 1.0})) for at in range(5, 20)
    ]
    for each in both:
        own.update(each, impact=True)
    assert [one.cause for one in own.open] == ["UNEXPLAINED", "A"]
    for each in both[:4]:
        own.update(replace(each, impact=Impact(40, 1.0, {OTHER: 1.0})), impact=True)
    assert [one.id for one in own.resolved] == [opened.id]


def test_one_cause_is_told_once() -> None:
    """One that has the victims of two incidents goes on in the first; the other one ends."""
    own = Incidents("h")
    first, second = _run(own, 1, 2, _cause("A", 0.9, DISK, (VICTIM,)), _cause("A", 0.8, OTHER, (OTHER,)))
    _run(own, 3, 6, _cause("B", 0.9, HOST, (VICTIM, OTHER)))

    assert [(one.id, one.cause) for one in own.open] == [(first.id, "B")]
    assert [one.id for one in own.resolved] == [second.id]


def test_a_restart_after_a_long_stop() -> None:
    """What was open then has ended when it was last seen; what is slow now is another incident."""
    before = Incidents("h")
    (first,) = _run(before, 1, 2, _cause())
    own = Incidents("h", before.all)
    (ended,) = _run(own, 100, 100, _cause())
    assert (ended.id, ended.state, ended.resolved) == (first.id, "resolved", first.last_bad)
    (opened,) = _run(own, 101, 101, _cause())
    assert (opened.state, opened.reopened) == ("open", 0)
    assert opened.id != first.id


def test_an_early_window_ends_nothing() -> None:
    """What others are slow for is told at once; that nothing is told of an incident counts in turn."""
    own = Incidents("h")
    (first,) = _run(own, 1, 2, _cause("A"))
    for at in range(3, 9):
        own.update(_bundle(at, _cause("B", 0.9, OTHER, (OTHER,))), impact=True, early=True)
    assert [one.cause for one in own.open] == ["A", "B"]
    _run(own, 9, 12, _cause("B", 0.9, OTHER, (OTHER,)))
    assert [one.id for one in own.resolved] == [first.id]


def test_an_incident_of_before_lasts_while_nothing_is_usual_yet() -> None:
    """After a restart a cause that is told by what is usual may not show, though its victims are slow."""
    before = Incidents("h")
    (first,) = _run(before, 1, 2, _cause("A"))
    own = Incidents("h", before.all)
    for at in range(3, 20):
        (kept,) = own.update(_bundle(at), impact=True, is_known=False)
    assert (kept.id, kept.cause, kept.last_bad, kept.bundle) == (first.id, "A", 19 * _TICK, first.bundle)
    assert [one.state for one in _run(own, 20, 23)] == ["resolved"]


def test_causes_stay_with_the_facts_that_they_cite() -> None:
    """A window that was worse and is told less well changes neither."""
    own = Incidents("h")
    (first,) = _run(own, 1, 2, _cause("A", 0.9))
    (kept,) = _run(own, 3, 3, _cause("B", 0.6), seconds=30.0)

    assert (kept.cause, kept.bundle) == ("A", first.bundle)
    assert kept.severity == "warning"
    (told,) = _run(own, 4, 4, _cause("B", 0.8), seconds=1.0)
    assert (told.cause, told.bundle.end) == ("B", 4 * _TICK)


def test_a_better_explanation_stays_in_the_incident() -> None:
    own = Incidents("h")
    first = _run(own, 1, 2, _cause("A", 0.6))[-1]
    second = _run(own, 3, 3, _cause("B", 0.95))[-1]

    assert (second.id, second.cause) == (first.id, "B")
    assert second.history == ((3 * _TICK, "A"),)
    third = _run(own, 4, 4, _cause("C", 0.5))[-1]
    assert third.cause == "B"  # a much weaker one changes nothing


def test_what_a_model_prefers_stays_in_front() -> None:
    """For as long as it scores about the same as the best; then the rules speak again."""
    own = Incidents("h")
    _run(own, 1, 2, _cause("A", 0.8), _cause("B", 0.75))
    (opened,) = own.open
    own.explained(opened.id, Explanation("A", tuple(reversed(opened.causes)), "B it is.", "rules+llm", "m", opened.bundle))
    (kept,) = _run(own, 3, 3, _cause("A", 0.8), _cause("B", 0.7))

    assert (kept.cause, kept.summary, kept.source, kept.model, kept.history) == ("B", "B it is.", "rules+llm", "m", ())
    assert [cause.code for cause in kept.causes] == ["B", "A"]
    (told,) = _run(own, 4, 4, _cause("A", 0.95), _cause("B", 0.6))
    assert (told.cause, told.source, told.model, told.history) == ("A", "rules", "", ((4 * _TICK, "B"),))


def test_words_of_another_window_change_no_claims() -> None:
    """Their ids are of other facts; what they say in all, and the order, holds."""
    own = Incidents("h")
    (opened,) = _run(own, 1, 2, _cause("A", 0.8), _cause("B", 0.75))
    said = tuple(replace(cause, claim=f"{cause.code} it may be.", supporting=("E09",)) for cause in reversed(opened.causes))
    told = Explanation("A", said, "B it is (E09, E10).", "llm", "m", opened.bundle)
    _run(own, 3, 3, _cause("A", 0.8), _cause("B", 0.75))
    later = own.explained(opened.id, told)
    assert later
    assert [(cause.code, cause.claim, cause.supporting) for cause in later.causes] == [
        ("B", "B is so.", ("E01",)),
        ("A", "A is so.", ("E01",)),
    ]
    assert (later.summary, later.bundle.end) == ("B it is.", 3 * _TICK)
    at_once = own.explained(opened.id, replace(told, cause="B", bundle=later.bundle))
    assert at_once
    assert [cause.claim for cause in at_once.causes] == ["B it may be.", "A it may be."]
    assert at_once.summary == "B it is (E09, E10)."
    (moved,) = _run(own, 4, 4, _cause("A", 0.8), _cause("B", 0.75))
    assert (moved.cause, moved.summary) == ("B", "B it is.")


def test_it_comes_back() -> None:
    """Within ten minutes it is the same incident, later another one."""
    own = Incidents("h")
    first = _run(own, 1, 2, _cause())[-1]
    _run(own, 3, 6, impact=False)
    again = _run(own, 7, 8, _cause())[-1]
    assert (again.id, again.state, again.reopened, again.resolved) == (first.id, "open", 1, 0)
    _run(own, 9, 12, impact=False)
    later = _run(own, 80, 81, _cause())[-1]
    assert later.id != first.id
    assert len(own.all) == 2


def test_who_did_it_now_is_told_when_it_comes_back() -> None:
    """However sure it was of the one before."""
    own = Incidents("h")
    before, now = replace(_cause(score=1.0), culprit=VICTIM), replace(_cause(score=0.6, victims=(OTHER,)), culprit=OTHER, claim="New.")
    _run(own, 1, 2, before)
    _run(own, 3, 6, impact=False)
    again = _run(own, 7, 8, now)[-1]

    assert again.reopened == 1
    assert [(cause.culprit, cause.victims) for cause in again.causes] == [(OTHER, (OTHER,))]
    assert again.summary.startswith("New.")
    assert (again.bundle.causes, again.history) == ((now,), ())


def test_who_does_it_now_is_told_after_a_while() -> None:
    """What is much weaker may be the rest of what fades, but not for longer than a window."""
    own = Incidents("h")
    before, now = replace(_cause(score=1.0), culprit=VICTIM), replace(_cause(score=0.6), culprit=OTHER)
    _run(own, 1, 2, before)
    changed = _run(own, 3, 8, now)

    assert [one.causes[0].culprit for one in changed] == [VICTIM] * 3 + [OTHER] * 3
    assert {one.id for one in changed} == {own.open[0].id}
    fading = _run(own, 9, 10, replace(now, score=0.3))
    assert [one.causes[0].score for one in [*fading, *_run(own, 11, 14, now)]] == [0.6] * 6


def test_two_that_have_nothing_in_common() -> None:
    own = Incidents("h")
    causes = _cause("A"), _cause("B", 0.8, OTHER, (OTHER,))
    assert [one.cause for one in _run(own, 1, 2, *causes)] == ["A", "B"]
    _run(own, 3, 6, causes[0])
    assert [one.cause for one in own.open] == ["A"]
    assert [one.cause for one in own.resolved] == ["B"]


def test_two_of_the_same_victims_are_one() -> None:
    own = Incidents("h")
    (opened,) = _run(own, 1, 2, _cause("A"), _cause("B", 0.8, OTHER, (VICTIM,)))
    assert [cause.code for cause in opened.causes] == ["A", "B"]


def test_contributing_causes_are_not_told() -> None:
    (opened,) = _run(Incidents("h"), 1, 2, _cause("A"), replace(_cause("B", 0.9, OTHER, (OTHER,)), contributing=True))
    assert [cause.code for cause in opened.causes] == ["A"]


def test_a_restart() -> None:
    """What was open goes on, or ends when it is over."""
    before = Incidents("h")
    first = _run(before, 1, 2, _cause())[-1]
    going = Incidents("h", before.all)
    assert _run(going, 3, 3, _cause())[-1].id == first.id
    over = Incidents("h", before.all)
    assert [one.state for one in _run(over, 3, 6, impact=False)] == ["resolved"]


def test_severity_never_falls() -> None:
    own = Incidents("h")
    _run(own, 1, 2, _cause())
    assert _run(own, 3, 3, _cause(), seconds=40.0)[-1].severity == "critical"
    assert _run(own, 4, 4, _cause(), seconds=1.0)[-1].severity == "critical"
