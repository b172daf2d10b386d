"""The page of the kernel matrix: outcomes by cell and by check, and columns that a run replaces."""

from __future__ import annotations

from pathlib import Path

from tests.vm.report import Run, merged, outcomes, properties

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.vm.guest.test_rungs" name="test_attaches[block-raw_tp]"/>
<testcase classname="tests.vm.guest.test_rungs" name="test_counts[block-raw_tp]"/>
<testcase classname="tests.vm.guest.test_rungs" name="test_attaches[file-kprobe]"><skipped message="refused: EPERM"/></testcase>
<testcase classname="tests.vm.guest.test_rungs" name="test_counts[file-kprobe]"><skipped message="refused: EPERM"/></testcase>
<testcase classname="tests.vm.guest.test_rungs" name="test_attaches[file-fentry]"/>
<testcase classname="tests.vm.guest.test_rungs" name="test_counts[file-fentry]"><failure message="x">y</failure></testcase>
<testcase classname="tests.vm.guest.test_layers" name="test_a_slow_layer"><skipped message="no dm_mod"/></testcase>
<testcase classname="tests.vm.guest.test_owners" name="test_sync[fsync]"><error message="z"/></testcase>
<testcase classname="tests.vm.guest.test_scrape" name="test_it"><properties><property name="seconds" value="0.5"/></properties></testcase>
<testcase classname="tests.vm.guest.test_bcc" name="test_size"><properties><property name="measured" value="9 MiB"/></properties></testcase>
</testsuite></testsuites>"""


def test_outcomes() -> None:
    """A cell is as good as the worst of its tests, and has failed when no test was of it."""
    cells, checks = outcomes([JUNIT], ["block-raw_tp", "file-kprobe", "file-fentry", "file-raw_tp"])
    assert cells == {"block-raw_tp": "pass", "file-kprobe": "refused: EPERM", "file-fentry": "FAIL", "file-raw_tp": "FAIL"}
    assert checks == {"layers: a slow layer": "no dm_mod", "owners: sync (fsync)": "FAIL", "scrape: it": "pass", "bcc: size": "9 MiB"}


def test_a_check_that_ran_twice() -> None:
    """It is as good as the worse one."""
    passed = JUNIT.replace('<skipped message="no dm_mod"/>', "")
    assert outcomes([JUNIT, passed], [])[1]["layers: a slow layer"] == "no dm_mod"


def test_properties() -> None:
    assert properties(JUNIT) == {"seconds": "0.5", "measured": "9 MiB"}


def test_a_run_replaces_its_own_column(tmp_path: Path) -> None:
    page = tmp_path / "kernels.md"
    for series, outcome in (("6.1", "pass"), ("native", "no dm"), ("newest", "pass"), ("5.10", "FAIL"), ("6.1", "FAIL")):
        run = Run(series, f"{series}.0", "2026-01-01", {"file-raw_tp": outcome}, {"events: stacks": "pass"})
        page.write_text(merged(page, run))
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert rows == [
        "| check | 5.10 | 6.1 | newest | native |",
        "| --- | --- | --- | --- | --- |",
        "| kernel | 5.10.0 | 6.1.0 | newest.0 | native.0 |",
        "| run on | 2026-01-01 | 2026-01-01 | 2026-01-01 | 2026-01-01 |",
        "| file-raw_tp | FAIL | FAIL | pass | no dm |",
        "| check | 5.10 | 6.1 | newest | native |",
        "| --- | --- | --- | --- | --- |",
        "| events: stacks | pass | pass | pass | pass |",
    ]
