"""selftest/counts.py: what holds, and each way in which it does not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from perflens.selftest import counts
from perflens.selftest.case import Case, Owner
from perflens.selftest.model import Check
from perflens.selftest.page import Page
from tests.unit.selftest.cases import BESIDE, GOOD, METRIC, OWN, case, event, histogram, slow, verdicts


def lines(own: Case) -> list[Check]:
    return [*counts.counted(own), *counts.checks(own)]


def failures(own: Case) -> dict[str, str]:
    return {check.name: check.found for check in lines(own) if check.verdict == "failed"}


def test_good_counts() -> None:
    """Numbers that are right pass, line by line, and what was there before is taken off."""
    before = histogram(OWN, (1.0, 2.0)) + histogram(BESIDE, (1.0,))
    after = histogram(OWN, (1.0, 2.0, 0.0008, 0.000001, 0.0965)) + histogram(BESIDE, (1.0, 0.0008, 0.000001)) + slow(OWN, 1)
    after += f'bytes_total{{operation="read",unit="{OWN}"}} 300\n'
    expected = dict.fromkeys(("count read", "fs", "bytes read", "buckets", "sum", "owner"), "ok")

    assert verdicts(lines(case())) == expected
    assert verdicts(lines(case(after, before))) == expected
    assert counts.all_counted(case())
    assert not counts.is_missing(case())


def test_one_too_few_and_one_too_many() -> None:
    """A count that is not exact fails, whichever way."""
    few = GOOD.replace(histogram(OWN, (0.0008, 0.000001, 0.0965)), histogram(OWN, (0.0008, 0.0965)))
    many = GOOD.replace(histogram(OWN, (0.0008, 0.000001, 0.0965)), histogram(OWN, (0.0008, 0.000001, 0.000001, 0.0965)))

    assert failures(case(few))["count read"] == "2"
    assert failures(case(many))["count read"] == "4"
    assert not counts.all_counted(case(few))


@pytest.mark.parametrize("took", [0.01, 0.2])
def test_wrong_bucket(took: float) -> None:
    """An operation that was held up is in a bucket that is too low, or too high."""
    page = GOOD.replace(histogram(OWN, (0.0008, 0.000001, 0.0965)), histogram(OWN, (0.0008, 0.000001, took)))
    found = failures(case(page))

    assert set(found) == {"buckets", "sum"}
    assert found["buckets"] == ("read: 3 up to 0.0625 s, not 2 to 2" if took < 0.1 else "read: 2 up to 0.125 s, not 3 to 3")


def test_wrong_sum_alone() -> None:
    """A sum that is not that of the durations fails, though each is in its bucket."""
    assert failures(case(GOOD.replace("0.097301000", "0.099301000"))) == {"sum": "99.301 ms"}


def test_part_in_which_nothing_was_held_up() -> None:
    """Of the parts of an operation the one that was held up is as long as that, the others may be short."""
    whole = case()
    family = replace(whole.family, histograms=("perflens_disk_held_seconds", "perflens_disk_queue_seconds"))
    held, queue = (
        GOOD.replace(METRIC, family.histograms[0]),
        histogram(OWN, (0.0001, 0.000001, 0.0002)).replace(METRIC, family.histograms[1]),
    )
    parts = replace(whole, family=replace(family, held_in=family.histograms[0])).then(Page(held + queue))

    assert {name: verdict for name, verdict in verdicts(lines(parts)).items() if name.startswith(("buckets", "sum"))} == dict.fromkeys(
        ("buckets held", "buckets queue", "sum held", "sum queue"), "ok"
    )
    swapped = replace(parts, family=replace(parts.family, held_in=family.histograms[1]))
    assert {"buckets queue", "sum queue"} <= set(failures(swapped))


def test_object_that_is_not_known() -> None:
    """Where the work is not on one disk, the label of the disk is skipped."""
    assert verdicts(lines(case(object_name="")))["fs"] == "skipped"


def test_wrong_labels() -> None:
    """Another file system, other bytes."""
    page = GOOD.replace('fs="ext4"', 'fs="xfs"').replace("} 300", "} 299")

    assert failures(case(page)) == {"fs": "xfs", "bytes read": "299"}


def test_wrong_owner() -> None:
    """What was done beside is counted with the own, or an event has another owner."""
    moved = histogram(OWN, (0.0008, 0.000001, 0.0965)) + histogram(BESIDE, (0.0008,)) + GOOD[GOOD.index("bytes_total") :]

    assert failures(case(moved)) == {"owner": "3 own, 1 beside"}
    assert failures(case(events=[event(unit="/other")])) == {"owner": "3 own, 2 beside, events of /other"}


def test_node_level() -> None:
    """Series without an owner are a failure of its own; counts are lower bounds then."""
    found = lines(case(histogram("", (0.0008, 0.000001, 0.0965, 3.0, 4.0)) + "bytes_total 4000\n"))

    assert {check.name: check.found for check in found if check.verdict == "failed"} == {
        "owner": "node level: all owners in one series",
        "bytes read": "0",
    }
    assert found[0].expected == "at least 3"
    assert verdicts(found)["buckets"] == verdicts(found)["sum"] == verdicts(found)["fs"] == "skipped"


def test_other_levels() -> None:
    """In a cluster what is in no pod has its unit in the label `workload`; all is proven there too."""
    page = re.sub(r'unit="([^"]+)"', r'namespace="",workload="Unit/\1"', GOOD)

    assert verdicts(lines(case(page))) == dict.fromkeys(("count read", "fs", "bytes read", "buckets", "sum", "owner"), "ok")
    assert failures(case(page.replace(f"Unit/{BESIDE}", "Unit/another")))["owner"] == "3 own, 0 beside"


def test_owner_that_is_shared() -> None:
    """Where no cgroup could be made the owner is not proven, and nothing fails for it."""
    found = verdicts(lines(case(owner=Owner(shared="none can be made"))))

    assert found["count read"] == found["bytes read"] == "ok"
    assert found["owner"] == "skipped"


def test_nothing_at_all() -> None:
    """An empty page does not say that owners cannot be told apart."""
    own = case("")

    assert counts.is_missing(own)
    assert failures(own)["count read"] == "0"
    assert failures(own)["buckets"] == "read: no bucket"
    assert "node level" not in failures(own)["owner"]
