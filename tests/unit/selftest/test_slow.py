"""selftest/slow.py: slow operations, their events and stacks."""

from __future__ import annotations

from dataclasses import replace

from perflens.selftest import slow
from perflens.selftest.model import Check
from tests.unit.selftest.cases import FAST, GOOD, HELD, MS, OWN, REPORT, case, event, verdicts
from tests.unit.selftest.cases import slow as counted


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.reason for check in checks if check.verdict == "failed"}


def test_good() -> None:
    """Counted as slow, there as an event, with the function in which it slept."""
    assert verdicts([*slow.checks(case())]) == {"slow read": "ok", "event": "ok", "stack": "ok"}
    assert slow.all_there(case())


def test_too_few_and_too_many_slow() -> None:
    """None that surely reached the threshold may be missing, none that surely did not may be counted."""
    assert "lower --threshold" in failed([*slow.checks(case(GOOD.replace(counted(OWN, 1), counted(OWN, 0))))])["slow read"]
    assert "higher --threshold" in failed([*slow.checks(case(GOOD.replace(counted(OWN, 1), counted(OWN, 3))))])["slow read"]


def test_threshold_that_is_not_known() -> None:
    """Of an agent elsewhere only those that were held up must be slow."""
    assert verdicts([*slow.checks(case(GOOD.replace(counted(OWN, 1), counted(OWN, 3)), thresholds={"read": 0}))])["slow read"] == "ok"
    assert "slow read" in failed([*slow.checks(case(GOOD.replace(counted(OWN, 1), ""), thresholds={"read": 0}))])


def test_no_event() -> None:
    """Without an event the reason is the threshold, where it is."""
    high = failed([*slow.checks(case(GOOD.replace(counted(OWN, 1), ""), thresholds={"read": 3_600_000 * MS}, events=[]))])
    none = failed([*slow.checks(case(events=[]))])

    assert high["event"].startswith("the threshold is 3600 s, and no operation took so long; ")
    assert none["event"].startswith("no slow operation became an event; ")
    assert "stack" in none
    assert not slow.all_there(case(events=[]))


def test_events_that_cannot_be_asked_for() -> None:
    """An API that refuses is no failure of the numbers."""
    found = [*slow.checks(case(events=None, untold="401; send the token"))]

    assert verdicts(found) == {"slow read": "ok", "event": "skipped", "stack": "skipped"}
    assert found[1].reason == "401; send the token"


def test_event_of_another_length() -> None:
    """An event is as long as the operation was."""
    assert "event" in failed([*slow.checks(case(events=[event(95 * MS)]))])


def test_bounds_that_overlap() -> None:
    """Each operation has its own event, in whichever order they come and however their bounds overlap; more may be there."""
    spans = [(96 * MS, 98 * MS), (96 * MS, 97 * MS)]
    report = replace(REPORT, spans={"read": spans}, held={"read": 2})

    for durations in ((96 * MS, 98 * MS), (98 * MS, 96 * MS), (98 * MS, 300 * MS, 97 * MS)):
        own = case(report=report, events=[event(ns) for ns in durations])
        assert "event" not in failed([*slow.checks(own)]), durations
    assert "event" in failed([*slow.checks(case(report=report, events=[event(98 * MS), event(98 * MS)]))])


def test_stacks() -> None:
    """Raw tracepoints have none; elsewhere an address instead of a name is a failure."""
    hidden = [*slow.checks(case(events=[event(stack=("0xffffffff81000000",))]))]

    assert verdicts([*slow.checks(case(mechanism="raw_tp", events=[event(stack=())]))])["stack"] == "skipped"
    assert hidden[-1].found == "0xffffffff81000000"
    assert "CAP_SYSLOG" in failed(hidden)["stack"]


def test_what_does_not_sleep() -> None:
    """Requests have no stack: nothing is to be found, and nothing skipped."""
    own = case(events=[event(stack=())])
    own = replace(own, family=replace(own.family, slept_in=()))

    assert verdicts([*slow.checks(own)]) == {"slow read": "ok", "event": "ok"}
    assert verdicts([*slow.checks(replace(own, report=replace(REPORT, held={})))]) == {"slow": "skipped", "event": "skipped"}


def test_whether_events_can_come() -> None:
    """Where nothing is counted as slow no event is waited for."""
    assert slow.are_counted(case())
    assert not slow.are_counted(case(GOOD.replace(counted(OWN, 1), counted(OWN, 0))))


def test_nothing_was_held_up() -> None:
    """Where the kernel does not let calls be held up, the lines say so by name."""
    report = replace(REPORT, spans={"read": HELD}, held={}, unheld="no userfaultfd")
    found = [*slow.checks(case(report=report))]

    assert verdicts(found) == {"slow": "skipped", "event": "skipped", "stack": "skipped"}
    assert found[0].reason == "no userfaultfd"


def test_what_lasts_no_time() -> None:
    """A family that only counts has none of these lines."""
    assert [*slow.checks(case(report=replace(REPORT, spans={}, held={})))] == []


def test_what_an_agent_cannot_see() -> None:
    """Held up without the agent's knowing: it may have any time of it up to the whole, and the lines say why they are skipped."""
    report = REPORT.untold("it does not see that")

    assert report.spans == {"read": [*FAST, *((0, most) for _, most in HELD)]}
    assert {(own.verdict, own.reason) for own in slow.checks(case(report=report))} == {("skipped", "it does not see that")}
