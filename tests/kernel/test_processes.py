"""Forks, execs and exits: exact counts by owner, and an event for each; cgroups by the events of their making."""

from __future__ import annotations

import os
import subprocess
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflens.decode.cells import cell_info_decoder
from perflens.decode.processes import ProcessBatch, ProcessDecoder
from perflens.kernel.attach import Tuning, attach
from perflens.kernel.attached import Sizes, object_path, object_types
from perflens.kernel.features import Host, inspect, memory_on_v1, mounts
from perflens.layout import enum_labels
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH, CgroupEvent, ProcessEvent
from perflens.registry import discover
from tests.kernel.slow import api, until
from tests.kernel.support import Group, agent, closed_ledger, group, owner_tree, remove, scrape, wait

PRIME, FEW = 1009, 20
DEPTH = 5
RATE, SECONDS = 10_000, 5
ROWS = 1_024

PROBE = discover()["process"]
UNTUNED = Tuning()
EVENTS: tuple[tuple[str, dict[str, str]], ...] = (("total", {"outcome": "emitted"}), ("read_total", {}))


class Watch:
    """The probe attached in this process, drained and counted by hand."""

    def __init__(self, rung: str, host: Host, tuning: Tuning = UNTUNED, objects: Path | None = None) -> None:
        types = object_types(object_path("process", host.machine))
        self.operations = enum_labels(PROBE.operations, types.enum(PROBE.operations))
        kinds = enum_labels("process_event_kind", types.enum("process_event_kind"))
        self._decoder = ProcessDecoder(types.struct("process_event"), types.struct("cgroup_event"), kinds)
        self._info = cell_info_decoder(types.struct("cell_info"))
        sizes = Sizes.of(host, 4_096)
        self.kernel = attach("process", PROBE, host, rung=rung, sizes=sizes, thresholds=[1] * 3, tuning=tuning, objects=objects)
        self._bindings = array("i", [-1]) * (2 * self.kernel.capacity)
        self._rows = array("Q", bytes(8 * HISTOGRAM_WIDTH * ROWS))
        self._slow = array("Q", bytes(8 * (SLOW_WIDTH + len(self.kernel.wait_reasons)) * ROWS))
        self._cells: list[int] = []
        self.read = 0
        self.found = ProcessBatch([], [], [])

    def drain(self) -> None:
        """Take all that the ring holds."""
        left = 1
        while left:
            batch, used, records, left = self.kernel.ring.drain()
            self.read += records
            new = self._decoder.batch(batch, used)
            self.found.processes.extend(new.processes)
            self.found.cgroups.extend(new.cgroups)
            self.found.refused.extend(new.refused)

    def counts(self, owner: int) -> dict[str, int]:
        """What was counted of an owner so far, by operation."""
        for cell in self.kernel.harvest(self._bindings, self._rows, self._slow):
            self._bindings[2 * cell] = self._bindings[2 * cell + 1] = len(self._cells)
            self._cells.append(cell)
        self.kernel.harvest(self._bindings, self._rows, self._slow)
        assert not any(self._slow)
        found: Counter[str] = Counter()
        for row, cell in enumerate(self._cells):
            key = self.kernel.key(cell)
            if key.owner == owner:
                found[self.operations[key.operation]] += self._rows[row * HISTOGRAM_WIDTH]
        return dict(found)

    def paths(self, owner: int) -> set[tuple[str, ...]]:
        """The paths that the kernel side noted of an owner."""
        return {info.path for cell in self._cells if self.kernel.key(cell).owner == owner if (info := self._info(self.kernel.info(cell)))}

    def told(self, owner: int) -> list[ProcessEvent]:
        """The events of an owner, in the order of their times."""
        self.drain()
        assert self.found.refused == []
        return sorted((event for event in self.found.processes if event.owner_id == owner), key=lambda event: event.time)

    def cgroups(self, path: tuple[str, ...]) -> list[CgroupEvent]:
        """The events of the cgroups at this path."""
        self.drain()
        return [event for event in self.found.cgroups if event.path == path]


@pytest.fixture
def watch(rung: str) -> Iterator[Watch]:
    """The probe by one rung."""
    found = Watch(rung, inspect())
    yield found
    found.kernel.close()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program whose forks, execs and threads are known."""
    built = tmp_path_factory.mktemp("processes") / "processes"
    subprocess.run(["cc", "-O1", "-Wall", "-pthread", "-o", built, Path(__file__).with_name("processes.c")], check=True)
    return str(built)


def begin(own: Group, program: str, *arguments: object) -> int:
    """Run the program in a group; return its PID."""
    return own.run(lambda: os.execv(program, [program, *map(str, arguments)]))  # noqa: S606


def run(own: Group, program: str, *arguments: object) -> int:
    """Run the program in a group to its end; return its PID."""
    pid = begin(own, program, *arguments)
    wait(pid)
    return pid


def inode(own: Group) -> int:
    return own.folder.stat().st_ino


def kinds(events: list[ProcessEvent], pid: int | None = None) -> dict[str, int]:
    return dict(Counter(event.kind for event in events if pid in (None, event.process.pid)))


def test_forks_and_execs_are_counted_exactly(watch: Watch, program: str) -> None:
    """A prime number of children that each execute a program: as many of each in the owner's cells, and an event for each."""
    with group("forks") as own:
        pid = run(own, program, "fork-and-exec", PRIME)
        events, counts = watch.told(inode(own)), watch.counts(inode(own))
        children = [event for event in events if event.process.pid != pid]

        assert counts == {"fork": PRIME, "exec": PRIME + 1, "exit": PRIME + 1}
        assert kinds(events) == counts
        assert kinds(children) == {"fork": PRIME, "exec": PRIME, "exit": PRIME}
        assert {event.parent.pid for event in children} == {pid}
        assert {event.path for event in children if event.kind == "exec"} == {program}
        assert {event.path for event in children if event.kind != "exec"} == {""}
        assert watch.paths(inode(own)) == {(own.folder.name,)}


def test_the_ledger_closes(watch: Watch, program: str) -> None:
    """Each operation that entered is in a cell, each event that was emitted was read; nothing is in flight."""
    with group("ledger") as own:
        run(own, program, "fork-and-exec", PRIME)
        watch.kernel.detach()
        watch.drain()
        entered, outcomes, in_flight, _, details = watch.kernel.ledger(watch.kernel.slots.read())
        watch.counts(inode(own))

    assert entered == sum(watch._rows[row * HISTOGRAM_WIDTH] for row in range(len(watch._cells)))
    assert {*outcomes.values(), in_flight, details["overlong"], details["no_cell"]} == {0}
    assert watch.kernel.events() == {"emitted": watch.read, "suppressed": 0, "ring_full": 0, "buffer_busy": 0}


def test_threads_are_no_processes(watch: Watch, program: str) -> None:
    """Threads that begin and end are neither counted nor told."""
    with group("threads") as own:
        pid = run(own, program, "threads", 11)
        events, counts = watch.told(inode(own)), watch.counts(inode(own))

    assert counts == {"exec": 1, "exit": 1}
    assert [(event.kind, event.process.pid) for event in events] == [("exec", pid), ("exit", pid)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("exec-in-thread", ["exec", "exec", "exit"]), ("first-thread-ends-first", ["exec", "exit"]), ("end-together", ["exec", "exit"])],
)
def test_a_process_ends_once(watch: Watch, program: str, mode: str, expected: list[str]) -> None:
    """Whichever of its threads is the last, and whichever executes a program: one process, one name, one end."""
    with group("ends") as own:
        for _ in range(23):
            pid = run(own, program, mode)
            events = [event for event in watch.told(inode(own)) if event.process.pid == pid]
            assert [event.kind for event in events] == expected
            assert {(event.process, event.comm) for event in events} == {(events[0].process, "processes")}


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object to which every kernel looks as those before 6.16 do, whose tracepoint does not tell the last thread."""
    machine = os.uname().machine
    target = {"x86_64": "x86", "aarch64": "arm64"}[machine]
    folder = tmp_path_factory.mktemp("objects") / machine
    folder.mkdir()
    headers = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    flags = ["-g", "-O2", "-target", "bpf", "-mcpu=v3", f"-I/usr/include/{headers}", f"-D__TARGET_ARCH_{target}"]
    source = Path(__file__).parents[2] / "bpf/process.bpf.c"
    subprocess.run(["clang", *flags, "-Dgroup_dead=no_such_member", "-c", source, "-o", folder / "process.bpf.o"], check=True)
    return folder.parent


def test_a_process_ends_once_on_older_kernels(rung: str, program: str, objects: Path) -> None:
    """Threads that end together each may find themselves the last: one of them tells."""
    watch = Watch(rung, inspect(), objects=objects)
    with group("older") as own:
        for mode in ("exec-in-thread", "first-thread-ends-first", *["end-together"] * 101):
            run(own, program, mode)
        counts, events = watch.counts(inode(own)), watch.told(inode(own))
    watch.kernel.close()

    assert counts == {"exec": 104, "exit": 103}
    assert kinds(events) == counts
    assert len({event.process for event in events if event.kind == "exit"}) == 103


def test_the_chain_of_parents(watch: Watch, program: str) -> None:
    """A child, its child, and so on: each event names the process that began the one it tells of."""
    with group("chain") as own:
        first = run(own, program, "chain", DEPTH)
        events = watch.told(inode(own))
    forks = {event.parent: event.process for event in events if event.kind == "fork"}
    key = next(event.process for event in events if event.process.pid == first)
    walked = [key]
    while key in forks:
        key = forks[key]
        walked.append(key)

    assert len(walked) == DEPTH + 1
    assert [key.start for key in walked] == sorted({key.start for key in walked})
    assert kinds(events) == {"fork": DEPTH, "exec": 1, "exit": DEPTH + 1}


def test_a_pid_that_is_used_again_is_another_process(watch: Watch, program: str) -> None:
    """Two processes of one PID have two keys, and each its beginning and its end."""
    wanted = next(pid for pid in range(31_000, 2_000, -1) if not Path(f"/proc/{pid}").exists())
    with group("again") as own:
        run(own, program, "same-pid-twice", wanted)
        events = [event for event in watch.told(inode(own)) if event.process.pid == wanted]

    assert [event.kind for event in events] == ["fork", "exit", "fork", "exit"]
    assert events[0].process == events[1].process != events[2].process == events[3].process


def test_events_agree_with_procfs(watch: Watch) -> None:
    """The key of a process is what /proc/PID/stat says of it, to the tick."""
    with group("procfs") as own:
        pid = own.run(lambda: time.sleep(0.3))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        wait(pid)
        watch.drain()
    event = next(event for event in watch.found.processes if event.process.pid == pid)

    assert event.process.start // (10**9 // os.sysconf("SC_CLK_TCK")) == int(fields[19])
    assert (event.kind, event.parent.pid) == ("fork", os.getpid())
    assert 0 < time.monotonic_ns() - event.time < 60 * 10**9


def test_a_nested_cgroup_is_named_by_its_making(watch: Watch, program: str) -> None:
    """Events of the hierarchy that owners come from carry the ids by which owners are counted, and their whole paths."""
    with group("container") as outer:
        inner = Group(outer.folder / "ключ b" / ("x" * 200) / ("y" * 200))
        inner.folder.mkdir(parents=True)
        owner = inode(inner)
        path = inner.folder.relative_to(owner_tree()).parts
        try:
            run(inner, program, "fork-and-exec", 3)
            counts = watch.counts(owner)
        finally:
            for folder in (inner.folder, *inner.folder.parents[:2]):
                remove(folder)
        events = watch.cgroups(path)

    assert counts == {"fork": 3, "exec": 4, "exit": 4}
    assert watch.paths(owner) == {path}
    assert [(event.kind, event.cgroup_id) for event in events] == [("mkdir", owner), ("rmdir", owner)]
    assert {event.hierarchy for event in events} == {hierarchy()}
    assert events[0].time < events[1].time


def hierarchy() -> int:
    """The number of the hierarchy that owners come from."""
    text = Path("/proc/cgroups").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("memory\t"))) if memory_on_v1(text) else 0


def test_a_cgroup_that_lives_5_ms_is_named(watch: Watch) -> None:
    """Nobody has to look at the tree while it is there."""
    folder = owner_tree() / f"perflens-short-{os.getpid()}"
    folder.mkdir()
    owner = folder.stat().st_ino
    time.sleep(0.005)
    folder.rmdir()
    events = watch.cgroups((folder.name,))

    assert [(event.kind, event.cgroup_id) for event in events] == [("mkdir", owner), ("rmdir", owner)]
    assert events[1].time - events[0].time < 10**9


def test_a_fork_belongs_to_the_cgroup_in_which_the_child_begins(rung: str, program: str) -> None:
    """clone3 with CLONE_INTO_CGROUP: the parent stays where it is. The v2 tree has no other way to begin in a cgroup."""
    tree = [mount.point for mount in mounts(Path("/proc/self/mountinfo").read_text()) if mount.fstype == "cgroup2"]
    if not tree:
        pytest.skip("no cgroup v2 tree is mounted")
    folder = Path(tree[0]) / f"perflens-into-{os.getpid()}"
    watch = Watch(rung, replace(inspect(), owner_by_memory=False))
    folder.mkdir()
    owner = folder.stat().st_ino
    try:
        subprocess.run([program, "into-cgroup", folder], check=True)
        counts, events, made = watch.counts(owner), watch.told(owner), watch.cgroups((folder.name,))
    finally:
        remove(folder)
        watch.kernel.close()

    assert counts == {"fork": 1, "exit": 1}
    assert kinds(events) == counts
    assert [(event.kind, event.hierarchy, event.cgroup_id) for event in made] == [("mkdir", 0, owner)]


def test_what_is_filtered_is_told_and_not_counted(rung: str, program: str) -> None:
    """With a filter the tree of processes stays whole."""
    with group("wanted") as wanted, group("other") as other:
        tuning = Tuning({"has_filters": 1, "filter_cgroups": 1}, {"filter_cgroup": [inode(wanted), *[0] * 15]})
        watch = Watch(rung, inspect(), tuning)
        for own in (wanted, other):
            run(own, program, "fork-and-exec", 23)
        watch.kernel.detach()
        counts = [watch.counts(inode(own)) for own in (wanted, other)]
        told = [kinds(watch.told(inode(own))) for own in (wanted, other)]
        outcomes = watch.kernel.ledger(watch.kernel.slots.read())[1]
        watch.kernel.close()

    assert counts == [{"fork": 23, "exec": 24, "exit": 24}, {}]
    assert told == [counts[0], counts[0]]
    assert outcomes["filtered"] >= 71


@pytest.fixture(scope="module")
def own_url(rung: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An agent whose probe of processes is attached by one rung."""
    with agent(tmp_path_factory.mktemp("agent"), f"--probes.process.attach={rung}", "--probes.strict") as found:
        yield found.url


def test_the_page_of_an_agent_has_the_exact_counts(own_url: str, program: str) -> None:
    """From the kernel to the scrape: the owner's series, with no slow operation and no loss."""
    with group("page") as own:
        run(own, program, "fork-and-exec", PRIME)
        page = closed_ledger(own_url)

    names = ("forked", "executed", "exited")
    assert [int(page.total(f"perflens_processes_{name}_total", unit=own.unit)) for name in names] == [PRIME, PRIME + 1, PRIME + 1]
    assert not page.total("perflens_slow_operations_total", probe="process")
    assert not page.total("perflens_process_events_total", outcome="ring_full")
    assert not page.total("perflens_process_events_undecodable_total")


def test_the_api_has_each_fork_and_exec(own_url: str, program: str) -> None:
    """One by one: each child after its parent forked it and before it became the program, with path, parent and owner."""
    with group("one-by-one") as own:
        pid = run(own, program, "fork-and-exec", FEW)
        until(lambda: len(_starts(own_url, own.unit)) >= 2 * FEW + 1)
        found = _starts(own_url, own.unit)[::-1]

    children = [start for start in found if start["process"]["pid"] != pid]
    forks, execs = ([start for start in children if start["kind"] == kind] for kind in ("fork", "exec"))
    assert [start["time_ns"] for start in found] == sorted(start["time_ns"] for start in found)
    assert len({start["process"]["pid"] for start in forks}) == len(forks) == len(execs) == FEW
    assert {start["parent"]["pid"] for start in children} == {pid}
    assert [(start["process"], start["path"]) for start in execs] == [(start["process"], program) for start in forks]
    assert {start["path"] for start in forks} == {""}


def _starts(url: str, owner: str) -> list[dict[str, Any]]:
    return [start for start in api(url, "process-starts", limit=1_000)["starts"] if start["owner"] == owner]


def test_an_agent_reads_every_event_of_a_storm(own_url: str, program: str) -> None:
    """Its own drain keeps up with 10,000 forks a second."""
    with group("agent-storm") as own:
        before = scrape(own_url)
        wait(*[begin(own, program, "storm", RATE, RATE // 2) for _ in range(2)])
        time.sleep(1)
        page = closed_ledger(own_url)

    assert page.total("perflens_processes_forked_total", unit=own.unit) == 2 * RATE
    assert page.total("perflens_process_events_total", outcome="ring_full") == 0
    emitted, read = (page.total(f"perflens_process_events_{name}", **wanted) for name, wanted in EVENTS)
    assert emitted - before.total("perflens_process_events_total", outcome="emitted") > 4 * RATE
    assert abs(emitted - read) < RATE // 10


def test_a_storm_of_forks_loses_nothing(watch: Watch, program: str) -> None:
    """10,000 forks a second for 5 s, drained every 250 ms: every one is counted and told."""
    with group("storm") as own:
        pids = [begin(own, program, "storm", RATE * SECONDS // 2, RATE // 2) for _ in range(2)]
        while alive(pids):
            watch.kernel.tune({"woken": (0,)})
            watch.drain()
            time.sleep(0.25)
        counts, events = watch.counts(inode(own)), watch.told(inode(own))
        watch.kernel.detach()
        watch.drain()

    assert counts == {"fork": RATE * SECONDS, "exec": 2, "exit": RATE * SECONDS + 2}
    assert kinds(events) == counts
    assert watch.kernel.events() == {"emitted": watch.read, "suppressed": 0, "ring_full": 0, "buffer_busy": 0}


def alive(pids: list[int]) -> bool:
    """Whether one of the children has not ended; those that have must have ended well."""
    for pid in list(pids):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0
            pids.remove(pid)
    return bool(pids)
