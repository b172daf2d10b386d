"""The lab's own arithmetic: a score that is wrong would be published."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.lab.gauge import BUCKETS, Pace, felt, gauge, pace
from tests.lab.loudest import loudest
from tests.lab.report import page
from tests.lab.runs import Outcome, kept, load, nameless, rules
from tests.lab.scenarios import SCENARIOS
from tests.lab.scores import Negatives, confusion, negatives, scores

RIGHT = Outcome(
    scenario="journal",
    truth=("FSYNC_JOURNAL_STALL",),
    said=("FSYNC_JOURNAL_STALL",),
    ranked=("FSYNC_JOURNAL_STALL", "SLOW_DEVICE"),
    seconds=12.0,
    subject="loop1",
    culprit="/z8m1",
    culprit_right=True,
    again=False,
    felt=True,
    lasted=40.0,
    when="2026-01-02T03:04:05Z",
    rules="0badcafe",
    evidence=({"analysis": {"facts": [{"metric": "device.flushes", "unit": "1/s", "value": 900.0, "baseline": 3.0}]}},),
)
THIRD = replace(
    RIGHT, said=("SLOW_DEVICE", "FSYNC_JOURNAL_STALL"), ranked=("SLOW_DEVICE", "A", "FSYNC_JOURNAL_STALL"), seconds=30.0, evidence=()
)
SILENT = replace(RIGHT, said=(), ranked=(), seconds=None, culprit="", culprit_right=None, evidence=())
UNFELT = replace(SILENT, felt=False)
IDLE = replace(SILENT, scenario="idle", truth=(), felt=False, lasted=1_800.0)
ALARM = replace(IDLE, said=("SLOW_DEVICE",), ranked=("SLOW_DEVICE",), lasted=1_800.0)


def test_scores_of_known_runs() -> None:
    """Runs without a fault, and with one that nobody felt, count for nothing; one that says nothing counts as wrong and never."""
    own = scores([RIGHT, THIRD, SILENT, UNFELT, IDLE])

    assert own is not None
    assert (own.runs, own.first, own.third) == (3, 1 / 3, 2 / 3)
    assert own.precise == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert own.blamed == 1 / 2  # the one that said nothing blamed nobody, and one was not right
    assert (own.p50, own.p95) == (30.0, inf)
    assert own.incidents == 1.0
    assert own.loud == 1 / 3


def test_no_score_without_a_run_that_counts() -> None:
    """Nothing is no score of 0."""
    assert scores([UNFELT, IDLE]) is None


def test_negatives_are_hours_and_incidents() -> None:
    """A fault that nobody felt is no proof of silence."""
    assert negatives([IDLE, ALARM, UNFELT, RIGHT]) == Negatives(1.0, 1)


def test_confusion_by_truth_and_first_word() -> None:
    """What nobody felt is in no row."""
    assert confusion([RIGHT, THIRD, SILENT, UNFELT, IDLE, ALARM]) == {
        "FSYNC_JOURNAL_STALL": Counter({"FSYNC_JOURNAL_STALL": 1, "SLOW_DEVICE": 1, "nothing": 1}),
        "nothing": Counter({"nothing": 1, "SLOW_DEVICE": 1}),
    }


def _fact(metric: str, value: float, baseline: float | None, unit: str = "ratio") -> dict[str, Any]:
    return {"metric": metric, "value": value, "baseline": baseline, "unit": unit}


def test_the_loudest_metric() -> None:
    """The most times its baseline, which is never less than a floor; a metric that speaks for no cause is not heard."""
    facts = [
        _fact("slow.seconds", 50, 0.001),
        _fact("cpu.busy", 0.9, 0.3),
        _fact("memory.used", 0.5, None),
        _fact("device.latency", 0.05, 0.0, "s"),
    ]

    assert loudest(facts) == "MEMCG_LIMIT"  # 50 times the floor; the latency is 50 times its own, and later
    assert loudest(facts[:2]) == "RUNQ_SATURATION"
    assert loudest([_fact("cpu.busy", 0.2, 0.3)]) == ""


def test_runs_are_kept_and_add_up(tmp_path: Path) -> None:
    """What was kept is what is read, the oldest first."""
    later = replace(THIRD, when="2026-02-02T03:04:05Z")
    kept(later, tmp_path)
    kept(RIGHT, tmp_path)

    assert load(tmp_path) == [RIGHT, later]


def test_runs_name_nobody_else() -> None:
    """The lab's own cgroups and what every system has keep their names."""
    owners = [{"kind": "owner", "name": name} for name in ("/q4x1", "/", "/team/secret", "/team")]
    told = "most of /team/secret; /usr/bin/dd, build ab12; /srv/secret/bin/tool, build cd34; /proc/stat"

    assert nameless([{"host": "db-7", "victims": owners, "summary": told}]) == [
        {
            "host": "host",
            "victims": [{"kind": "owner", "name": name} for name in ("/q4x1", "/", "/other0", "/other1")],
            "summary": "most of /other0; /usr/bin/dd, build ab12; /other/tool, build cd34; /proc/stat",
        }
    ]


def test_pace_of_a_known_histogram() -> None:
    """95 % of 100 operations in 2 s lie below the bound of the bucket that reaches them."""
    before, after = [0] * BUCKETS, [0] * BUCKETS
    before[40], after[40] = 7, 7 + 94
    after[60], after[80] = 1, 5

    assert pace((10.0, before), (12.0, after)) == Pace(50.0, 2**15 / 1e9)
    assert pace((10.0, before), (12.0, before)) == Pace()


def test_a_gauge_is_read_while_it_is_written() -> None:
    """What a load counts in the file is what is read."""
    with gauge() as own:
        with own.path.open("r+b") as file:
            file.seek(8 * 40)
            file.write((3).to_bytes(8, "little"))
        _, counts = own.read()

    assert (sum(counts), counts[40]) == (3, 3)


@pytest.mark.parametrize(
    ("healthy", "faulty", "hurt"),
    [
        (Pace(100, 0.001), Pace(100, 0.002), True),
        (Pace(100, 0.001), Pace(50, 0.001), True),
        (Pace(100, 0.001), Pace(51, 0.0019), False),
        (Pace(100, 0.001), Pace(), True),
        (Pace(), Pace(), False),
    ],
)
def test_who_is_hurt(healthy: Pace, faulty: Pace, hurt: bool) -> None:
    """Twice as slow or half as much; a victim that did nothing before has felt nothing."""
    assert felt(healthy, faulty) is hurt


def test_the_page_says_what_the_runs_say() -> None:
    """The numbers of both halves, of the silence, and the matrix."""
    text = page([RIGHT, replace(THIRD, again=True, scenario="journal.python"), IDLE], cpus=2)

    assert "| made with | 1 | 1.00 | 1.00 | 0.50 | 1.00 | 12 | 12 | 1.00 |" in text
    assert "| scoring | 1 | 0.00 | 1.00 | 0.33 | 0.00 | 30 | 30 | 2.00 |" in text
    assert "0.5 hours of idling, of programs that wait for others and of busy, healthy work: 0 incidents." in text
    assert "| journal.python | `FSYNC_JOURNAL_STALL` | 1 | 1 | 0 | SLOW_DEVICE (1) | 30 | 1 of 1 |" in text


def test_every_fault_is_made_by_other_means() -> None:
    """A score on the means that the rules were made with alone would say nothing."""
    made = {own.fault for own in SCENARIOS.values() if not own.again and own.victim}
    again = {own.fault for own in SCENARIOS.values() if own.again}

    assert made == again
    assert all("." in own.name for own in SCENARIOS.values() if own.again)


def test_the_rules_have_a_name() -> None:
    """Eight hex digits, the same for the same text."""
    assert rules() == rules()
    assert int(rules(), 16) >= 0
