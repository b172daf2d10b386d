"""agent/analyzing.py: looks go on whatever fails beside them, and what they see is known beyond the host."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perflens.agent.analyzing import Analyzing, Parts
from perflens.agent.serve import _analyze
from perflens.agent.telling import Telling
from perflens.aggregate.evidence import EvidenceStore
from perflens.aggregate.starts import Starts
from perflens.aggregate.timeline import Timeline
from perflens.analyzer.readings.hierarchies import find_hierarchies
from perflens.analyzer.readings.reader import HostReader
from perflens.analyzer.state import StateFile
from perflens.analyzer.totals import OperationKey, OperationTotal, RequestKey, RequestTotal, Totals
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.enrich.symbols.client import HelperLate
from perflens.export.otlp.incidents import NoIncidentLog
from perflens.model import Device, ProcessEvent, ProcessKey

SECOND = 10**9
WWN = "naa.600508b1001c79ade5178f0626caaa9c"
DISK = Device("sda", (8, 0), "disk", 1 << 40, False, False, "", "", WWN, "sda")


@dataclass
class Host:
    """A host whose owner ``/a`` has so many slow seconds more at each look, on sda; 20 s pass from one to the next."""

    folder: Path
    slow: int = 0
    looks: int = 0
    executors: list[ThreadPoolExecutor] = field(default_factory=list)
    starts: Starts = field(default_factory=Starts)
    asked: list[str] = field(default_factory=list)
    programs: tuple[str, ...] = ()

    def snapshot(self) -> tuple[Totals, Mapping[str, str]]:
        self.looks += 1
        if self.looks == 6:
            self.starts.add([ProcessEvent("exec", 0, ProcessKey(2, 2), ProcessKey(1, 1), "sh", 7, path) for path in self.programs])
        done = 100 * self.looks
        operations = {OperationKey("read", "/a"): OperationTotal(done, done * 10**8, done * self.slow, done * self.slow * 10**8)}
        requests = {RequestKey("read", "sda", "/a"): RequestTotal(done, done * 4096, 0, done * 10**8, done * 10**8)}
        return Totals(self.looks * 20 * SECOND, operations, requests), {}

    def build_of(self, path: str, process: ProcessKey) -> str:
        self.asked.append(path)
        if path == "/hangs":
            raise HelperLate("not answered in time")
        return "ab" * 20 if process == ProcessKey(2, 2) else ""

    def analyzing(self, tell: Callable[[str], Telling]) -> Analyzing:
        worker, drainer, explainer = self.executors = [ThreadPoolExecutor(1) for _ in range(3)]
        clock = lambda: 100 * SECOND  # noqa: E731
        processes = Processes(Procfs(""), clock)
        store, timeline = EvidenceStore(clock), Timeline(clock)
        parts = Parts(
            worker,
            drainer,
            explainer,
            self.snapshot,
            store,
            timeline,
            self.starts,
            processes,
            lambda: (DISK,),
            lambda _: "/a",
            frozenset({"file"}),
            lambda: {"/a": "shop/db"},
            self.build_of,
        )
        return Analyzing(parts, HostReader(str(self.folder), str(self.folder), find_hierarchies(b"")), StateFile(""), tell)


def rounds(number: int) -> Callable[[float], Any]:
    done = 0

    async def wait(_: float) -> bool:
        nonlocal done
        done += 1
        return done > number

    return wait


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    wall = [1_700_000_000 * SECOND]

    def later() -> int:
        wall[0] += 20 * SECOND
        return wall[0]

    monkeypatch.setattr(time, "time_ns", later)
    monkeypatch.setattr(time, "monotonic_ns", lambda: wall[0] - 1_700_000_000 * SECOND)
    return Host(tmp_path)


async def test_what_cannot_be_told_is_looked_at(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Where what tells incidents cannot be started the analyzer goes on without; it is logged and counted."""

    def broken(_: str) -> Telling:
        raise RuntimeError("no room")

    host.slow = 1
    own = host.analyzing(broken)
    await own.run(rounds(12))
    await own.close()

    assert (own.counts().untold, own.counts().windows, own.counts().failed) == (1, 3, 0)
    assert [record.message for record in caplog.records if record.exc_info] == ["incidents are not told to others"]
    for each in host.executors:
        each.shutdown()


async def test_an_analyzer_that_cannot_look_at_all(host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Its end is logged when it happens, and does not disturb that of the agent."""

    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    monkeypatch.setattr("perflens.agent.pressure.select.epoll", none_left)
    await _analyze(asyncio.Event(), SimpleNamespace(analyzing=own))  # type: ignore[arg-type]

    assert [record.message for record in caplog.records if record.exc_info] == ["the analyzer has ended: nobody looks for causes any more"]
    for each in host.executors:
        each.shutdown()


@pytest.mark.parametrize("step", [3_600, -3_600], ids=["suspended", "set back"])
async def test_window_across_a_step_of_the_clock(host: Host, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """No window begins before a suspension, or before the clock was set: it would not be as long as what was counted in it."""
    before, calls = time.time_ns, [0]

    def stepped() -> int:
        calls[0] += 1
        return before() + step * SECOND * (calls[0] > 8)

    monkeypatch.setattr(time, "time_ns", stepped)
    host.slow = 1
    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    await own.run(rounds(24))
    bundles = await asyncio.get_running_loop().run_in_executor(own.executor, own.bundles)
    await own.close()

    assert bundles
    assert {(bundle.end - bundle.start) // SECOND for bundle in bundles} == {20}
    for each in host.executors:
        each.shutdown()


async def test_a_disk_and_an_owner_are_known_beyond_the_host(host: Host) -> None:
    """The subjects of causes carry the volume and the workload, in what is recorded as well."""
    host.slow = 1
    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    await own.run(rounds(12))
    (bundle, *_) = await asyncio.get_running_loop().run_in_executor(own.executor, own.bundles)
    await own.close()

    assert bundle.recording
    found = Counter((subject.name, subject.volume) for subject in bundle.recording.scene.on_device)
    assert found == {("sda", WWN): 1}
    assert [(victim.name, victim.workload) for victim in bundle.recording.scene.victims] == [("/a", "shop/db")]
    assert {signal.subject.volume for signal in bundle.recording.signals if signal.subject.kind == "device"} == {WWN}
    for each in host.executors:
        each.shutdown()


async def test_programs_are_told_by_their_builds(host: Host) -> None:
    """Where a file hangs it and those after it are told by their paths, and are not asked for at this look."""
    host.slow, host.programs = 1, ("/bin/db", "/hangs", "/bin/web")
    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    await own.run(rounds(24))
    (bundle, *_) = await asyncio.get_running_loop().run_in_executor(own.executor, own.bundles)
    await own.close()

    assert bundle.recording
    assert sorted(signal.detail for signal in bundle.recording.changes) == ["/bin/db, build abababababab", "/bin/web", "/hangs"]
    assert host.asked == ["/bin/db", "/hangs"]
    for each in host.executors:
        each.shutdown()
