"""selftest/proof.py and worker.py: from the states of the probes to lines, with real work that nobody counts but the test."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflens.errors import StartError
from perflens.model import ProbeState
from perflens.selftest import proof as module
from perflens.selftest.case import Owner
from perflens.selftest.families import family_of
from perflens.selftest.model import Check, Report
from perflens.selftest.page import Page
from perflens.selftest.proof import Ground, prove
from perflens.selftest.subject import Event
from perflens.selftest.throttle import Throttle
from perflens.selftest.workload import Workload, WorkloadError
from tests.unit.selftest.cases import DISK, FAMILY, GOOD, HELD, OWN, REPORT, SHARE, UNTHROTTLED, event, work

WHOLE = 'perflens_scrape_collector_success{collector="disk"} 1\n'


class FakeSubject:
    """Counts what the test says, once the work was done."""

    attaches = True

    def __init__(self, states: Sequence[ProbeState], after: str = GOOD) -> None:
        self._states, self.after = {state.name: state for state in states}, after
        self.done = False
        self.found: list[Event] = [{**event(), "file": {"path": "/x/own/disk/data"}}, {**event(), "file": {"path": "/x/else"}}]

    def start(self) -> None:
        """Nothing to do."""

    def states(self) -> Mapping[str, ProbeState]:
        return self._states

    def page(self) -> Page:
        return Page(WHOLE + (self.after if self.done else ""))

    def events(self, probe: str, min_duration: int) -> Sequence[Event]:
        assert min_duration == HELD[0][0] * 9 // 10
        if not self.found:
            raise StartError("the API does not answer us")
        return self.found

    def threshold(self, probe: str, operation: str) -> int:
        return 5_000_000


class FakeWorkload:
    """Does nothing, and says it was what the family does."""

    subject: FakeSubject
    fails = False

    def __init__(self, deadline: float, throttle: Throttle) -> None:
        self.closed = False

    def prepare(self, family: str, folder: str, members: str) -> None:
        assert (family, folder) == ("disk", "/x/own/disk")

    def work(self, family: str, folder: str, members: str, hold: float, *, whole: bool) -> Report:
        if self.fails:
            raise WorkloadError("the disk is full")
        assert hold == (0.096 if whole else 0.0)
        self.subject.done = True
        return REPORT if whole else SHARE

    def close(self) -> None:
        """Nothing to do."""


def ground(members: str = "/members") -> Ground:
    return Ground(Path("/x/own"), DISK, Owner(OWN, f"{OWN}/beside"), members, f"{members}/beside", math.inf, UNTHROTTLED)


def lines(subject: FakeSubject, monkeypatch: pytest.MonkeyPatch, family: Any = FAMILY) -> dict[tuple[str, str], Check]:
    monkeypatch.setattr(module, "Workload", FakeWorkload)
    monkeypatch.setattr(module, "family_of", lambda name: family)
    monkeypatch.setattr(module, "_COUNTS_SETTLE", 0.0)
    monkeypatch.setattr(module, "_EVENTS_SETTLE", 0.0)
    FakeWorkload.subject = subject
    return {(check.family, check.name): check for check in prove(subject, ["disk"], ground())}


ATTACHED = ProbeState("disk", attached=True, mechanism="tp_btf")


def test_everything_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line passes; events of others are left out."""
    found = lines(FakeSubject([ATTACHED]), monkeypatch)

    assert {check.verdict for check in found.values()} == {"ok"}
    assert [name for _, name in found] == [
        *("attached", "count read", "fs", "bytes read", "buckets", "sum", "owner", "slow read", "event", "stack", "ledger", "page")
    ]
    assert found["disk", "event"].found == "1, as long as they were"


def test_probe_that_is_not_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is off, or could not be attached, has this line alone."""
    off = lines(FakeSubject([]), monkeypatch)
    broken = lines(FakeSubject([ProbeState("disk", attached=False, reason="no BTF", cure="get one")]), monkeypatch)
    silent = lines(FakeSubject([ProbeState("disk", attached=False)]), monkeypatch)

    assert [name for _, name in off] == [name for _, name in broken] == ["attached", "page"]
    assert "--no-probe.disk" in off["disk", "attached"].reason
    assert broken["disk", "attached"].reason == "no BTF; get one"
    assert "perflens check" in silent["disk", "attached"].reason


def test_page_with_a_part_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that fails is told."""
    found = lines(FakeSubject([ATTACHED], GOOD + 'perflens_scrape_collector_success{collector="waits"} 0\n'), monkeypatch)

    assert found["agent", "page"].found == "without waits"


def test_family_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe without known work has its ledger proven, and the rest is skipped by name."""
    found = lines(FakeSubject([ATTACHED]), monkeypatch, family=None)

    assert found["disk", "ledger"].verdict == "ok"
    assert found["disk", "count"].reason == "there is no known workload for this family"


def test_disk_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that the folder cannot prove is skipped by name, with the reason."""
    found = lines(FakeSubject([ATTACHED]), monkeypatch, replace(FAMILY, lacks=lambda disk: f"{disk.fs} is no disk"))

    assert {check.verdict for (_, name), check in found.items() if name not in ("attached", "ledger", "page")} == {"skipped"}
    assert found["disk", "bytes"].reason == "ext4 is no disk"


def test_work_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be done is a failure of its own."""
    monkeypatch.setattr(FakeWorkload, "fails", True)
    found = lines(FakeSubject([ATTACHED]), monkeypatch)

    assert found["disk", "workload"].verdict == "failed"
    assert found["disk", "workload"].reason.startswith("the disk is full; ")


def test_nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not counted fails once; nothing else is claimed of it."""
    found = lines(FakeSubject([ATTACHED], ""), monkeypatch)

    assert [name for (_, name), check in found.items() if check.verdict == "failed"] == ["count read"]


def test_api_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that cannot be asked for are skipped."""
    subject = FakeSubject([ATTACHED])
    subject.found = []

    assert lines(subject, monkeypatch)["disk", "event"].verdict == "skipped"


@pytest.mark.parametrize("probe", ["disk", "above"])
@pytest.mark.parametrize(("threshold", "seconds"), [(0.0, 0.096), (0.005, 0.096), (0.4, 0.5), (0.9, 1.0), (1.0, 0.096), (3600.0, 0.096)])
def test_how_long_operations_are_held_up(monkeypatch: pytest.MonkeyPatch, threshold: float, seconds: float, probe: str) -> None:
    """A quarter longer than what is slow, also to another probe, or 96 ms if that is less, or would be more than a second."""
    seen = []

    def work(self: FakeWorkload, family: str, folder: str, members: str, hold: float, *, whole: bool) -> Report:
        seen.append(hold)
        raise WorkloadError("that was all")

    monkeypatch.setattr(FakeWorkload, "work", work)
    monkeypatch.setattr(FakeSubject, "threshold", lambda _, own, name: int(threshold * 1_000_000_000) if own == probe else 0)
    monkeypatch.setattr(module, "Workload", FakeWorkload)
    monkeypatch.setattr(module, "family_of", lambda _: FAMILY)
    list(prove(FakeSubject([ATTACHED]), ["disk", "above"], ground()))

    assert seen == [seconds]


def test_families() -> None:
    """Those that exist are found by their name, and nothing else is one."""
    for name in ("file", "process", "block"):
        assert family_of(name) is not None
    for name in ("proof", "page", "nothing", "__init__", "..", "os.path", ""):
        assert family_of(name) is None


@pytest.fixture
def workload() -> Any:
    own = Workload(time.monotonic() + 30, UNTHROTTLED)
    yield own
    own.close()


@pytest.mark.parametrize("name", ["file", "process", "block"])
def test_real_work(workload: Workload, tmp_path: Path, name: str) -> None:
    """Each family's work can be done anywhere, and its report is whole: the smaller share too, which holds nothing up."""
    folder = str(tmp_path / name)
    try:
        workload.prepare(name, folder, "")
        whole, share = (workload.work(name, folder, "", 0.02, whole=own) for own in (True, False))
    except WorkloadError as error:
        if name == "block" and "Invalid argument" in str(error):
            pytest.skip("needs a file system with O_DIRECT")
        raise

    for report in (whole, share):
        assert all(len(spans) == report.counts[operation] for operation, spans in report.spans.items())
        assert all(0 <= least <= most for spans in report.spans.values() for least, most in spans)
    assert all(whole.counts[operation] > number > 0 for operation, number in share.counts.items())
    assert not share.held
    for operation, number in whole.held.items():
        assert all(least >= 20_000_000 for least, _ in whole.spans[operation][-number:])
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 1 << 20


def test_tight_loop(workload: Workload, tmp_path: Path) -> None:
    """The loop has a time; a family without one has none."""
    workload.prepare("file", str(tmp_path / "file"), "")

    assert 0 < workload.tight("file", str(tmp_path / "file"), "", 100) < 1_000_000
    assert workload.tight("process", str(tmp_path), "", 100) == 0


def test_work_that_cannot_be_done(workload: Workload, tmp_path: Path) -> None:
    """An error of the system's is told with its file, and the worker goes on."""
    with pytest.raises(WorkloadError, match=r"No such file or directory: .*/data"):
        workload.work("file", str(tmp_path / "nothing"), "", 0.0, whole=True)
    with pytest.raises(WorkloadError, match=r"No such file or directory: .*/cgroup.procs"):
        workload.prepare("file", str(tmp_path), str(tmp_path / "cgroup.procs"))
    workload.prepare("file", str(tmp_path), "")


def test_worker_that_is_late(tmp_path: Path) -> None:
    """Nothing is waited for after the deadline, and a worker that is killed is gone at once."""
    own = Workload(time.monotonic() + 0.01, UNTHROTTLED)
    try:
        with pytest.raises(WorkloadError, match="not done in time"):
            own.prepare("file", str(tmp_path), "")
    finally:
        own.close()


def test_worker_that_dies(workload: Workload, tmp_path: Path) -> None:
    """Its end is told."""
    workload._process.kill()
    workload._process.wait()

    with pytest.raises(WorkloadError, match="its process ended by SIGKILL"):
        workload.prepare("file", str(tmp_path), "")


def test_worker_that_fails(workload: Workload, tmp_path: Path) -> None:
    """A bug in it is told by its last words."""
    with pytest.raises(WorkloadError, match="its process ended with status 1: AssertionError"):
        workload.prepare("nothing", str(tmp_path), "")


def test_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """Whatever ends the run ends the worker."""
    script = "import os, sys, time\nfrom perflens.selftest.throttle import Throttle\nfrom perflens.selftest.workload import Workload\n"
    script += "own = Workload(time.monotonic() + 9, Throttle())\n"
    script += "own.prepare('process', sys.argv[1], '')\nprint(own._process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True, env=environment, check=False)
    pid, deadline = int(done.stdout), time.monotonic() + 5
    while Path(f"/proc/{pid}/exe").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_reports_survive_their_way() -> None:
    """What the worker reports is what the run reads."""
    assert Report.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT
    assert work is FAMILY.work
