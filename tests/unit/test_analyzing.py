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
from perflens.analyzer.readings.hierarchies import Hierarchies
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
    starts: Starts = field(default_factory=lambda: Starts(0))
    asked: list[str] = field(default_factory=list)
    programs: tuple[str, ...] = ()
    paths: Callable[[int], Mapping[str, str]] = lambda _: {}

    def snapshot(self) -> tuple[Totals, Mapping[str, str]]:
        self.looks += 1
        if self.looks == 6:
            self.starts.add([ProcessEvent("exec", 0, ProcessKey(2, 2), ProcessKey(1, 1), "sh", 7, path) for path in self.programs])
        done = 100 * self.looks
        operations = {OperationKey("read", "/a"): OperationTotal(done, done * 10**8, done * self.slow, done * self.slow * 10**8)}
        requests = {RequestKey("read", "sda", "/a"): RequestTotal(done, done * 4096, 0, done * 10**8, done * 10**8)}
        return Totals(self.looks * 20 * SECOND, operations, requests), self.paths(self.looks)

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
        reader = HostReader(str(self.folder), str(self.folder), Hierarchies(unified=str(self.folder)))
        return Analyzing(parts, reader, StateFile(""), tell)


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


@pytest.mark.parametrize("jump", [-3_600, 3_600])
async def test_a_clock_that_is_set(host: Host, monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    """A window is as long as the time that passed, whatever the clock on the wall says: nothing is slow for it, and nothing less."""
    wall = [1_700_000_000 * SECOND]

    def later() -> int:
        wall[0] += 20 * SECOND + (jump * SECOND if host.looks == 5 else 0)
        return wall[0]

    monkeypatch.setattr(time, "time_ns", later)
    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    await own.run(rounds(26))
    assert (own.counts().windows, own.counts().impacts, own.counts().failed) == (7, 0, 0)
    host.slow = 1
    await own.run(rounds(8))
    bundles = await asyncio.get_running_loop().run_in_executor(own.executor, own.bundles)
    await own.close()

    assert {bundle.end - bundle.start for bundle in bundles} == {20 * SECOND}
    for each in host.executors:
        each.shutdown()


@pytest.mark.parametrize(("is_other", "expected"), [(True, []), (False, ["CPU quota in cores at /one: 0.1 -> 2"])])
async def test_another_container_behind_a_name_is_no_change(host: Host, is_other: bool, expected: list[str]) -> None:
    """What the cgroup is that stands for a workload may change; its limits are compared with its own."""
    for name, quota in (("one", "10000"), ("two", "200000")):
        (host.folder / name).mkdir()
        (host.folder / name / "cpu.max").write_text(f"{quota} 100000\n")

    def paths(looks: int) -> Mapping[str, str]:
        if looks == 5 and not is_other:
            (host.folder / "one" / "cpu.max").write_text("200000 100000\n")
        return {"/two" if looks >= 5 and is_other else "/one": "/a"}

    host.slow, host.paths = 1, paths
    own = host.analyzing(lambda _: Telling(None, None, NoIncidentLog()))
    await own.run(rounds(40))
    (bundle, *_) = await asyncio.get_running_loop().run_in_executor(own.executor, own.bundles)
    await own.close()

    assert bundle.recording
    assert [signal.detail for signal in bundle.recording.changes] == expected
    for each in host.executors:
        each.shutdown()
