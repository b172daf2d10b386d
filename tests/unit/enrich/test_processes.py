"""enrich/processes.py and procfs.py: who began whom, and who is gone."""

from __future__ import annotations

import os
import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.enrich.processes import Processes
from perflens.enrich.procfs import TICK, Procfs
from perflens.model import ProcessEvent, ProcessKey
from tests.evidence import SECOND, slow_event

NOW = 1_000 * SECOND
INIT = ProcessKey(1, 1)


class Clock:
    def __init__(self) -> None:
        self.ns = NOW

    def __call__(self) -> int:
        return self.ns


def key(pid: int, start: int = 0) -> ProcessKey:
    return ProcessKey(pid, start or NOW + pid)


def fork(own: ProcessKey, parent: ProcessKey = INIT, comm: str = "sh", time: int = NOW) -> ProcessEvent:
    return ProcessEvent("fork", time, own, parent, comm, 7, "")


def exec_(own: ProcessKey, parent: ProcessKey = INIT, comm: str = "true", time: int = NOW + 1) -> ProcessEvent:
    return ProcessEvent("exec", time, own, parent, comm, 8, "/usr/bin/true")


def exit_(own: ProcessKey, parent: ProcessKey = INIT, comm: str = "true", time: int = NOW + 2) -> ProcessEvent:
    return ProcessEvent("exit", time, own, parent, comm, 8, "")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> Processes:
    return Processes(Procfs(""), clock)


def test_life_of_a_process(table: Processes, clock: Clock) -> None:
    """A process has its parent's name, then its program's, and is shown for five minutes after its end."""
    own = key(10)
    table.apply([fork(own)])
    found = table.find(10)
    assert found
    assert (found.key, found.parent, found.comm, found.path, found.owner_id, found.ended) == (own, INIT, "sh", "", 7, 0)

    table.apply([exec_(own), exit_(own)])
    assert table.get(own) == replace(found, comm="true", path="/usr/bin/true", owner_id=8, ended=NOW + 2)
    assert (len(table), table.living) == (1, 0)

    clock.ns += 300 * SECOND
    table.maintain()
    assert table.find(10)
    clock.ns += 3
    table.maintain()
    assert table.find(10) is table.get(own) is None
    assert (len(table), table.evicted, table.lost) == (0, 0, 0)


def test_any_order_of_events_gives_the_same(clock: Clock) -> None:
    """Events of other CPUs come late: whatever their order, a process that ended leaves no ghost, and the newest name stays."""
    own, chance = key(10), random.Random(1)
    events = [fork(own), exec_(own), exec_(own, comm="last", time=NOW + 2), exit_(own, comm="last", time=NOW + 3)]
    for _ in range(30):
        chance.shuffle(events)
        table = Processes(Procfs(""), clock)
        for event in events:
            table.apply([event])
        found = table.get(own)
        assert found
        assert (found.comm, found.path, found.ended, found.parent, table.living) == ("last", "/usr/bin/true", NOW + 3, INIT, 0)


def test_pid_that_is_used_again(table: Processes) -> None:
    """Two processes of one PID stay two; one whose end was lost has ended when another has its PID."""
    first, second = key(10, NOW), key(10, NOW + 50)
    table.apply([fork(first), exec_(first, comm="old"), fork(second, time=NOW + 50)])
    old, new = table.get(first), table.get(second)

    assert old
    assert new
    assert (old.comm, old.ended, new.comm, new.ended, table.lost) == ("old", NOW + 50, "sh", 0, 1)
    assert table.find(10) == new


def test_late_events_of_the_one_that_had_the_pid_before(table: Processes) -> None:
    """What is told late of the older process does not touch the newer."""
    first, second = key(10, NOW), key(10, NOW + 50)
    table.apply([fork(second, time=NOW + 50), fork(first), exit_(first)])

    assert table.find(10) == table.get(second)
    assert table.living == 1


def test_child_of_a_used_pid(table: Processes) -> None:
    """A process is not put below one that took its parent's PID later."""
    parent, child, other = key(10, NOW), key(11, NOW + 5), key(10, NOW + 50)
    table.apply([fork(parent), fork(child, parent), exit_(parent), fork(other, time=NOW + 50)])

    assert [own.key for own in table.parents(child)] == [parent]
    assert table.parents(other) == ()


def test_threads_are_no_processes(table: Processes) -> None:
    """A fork within a process is a thread."""
    own = key(10)
    table.apply([fork(own), fork(own, own), replace(fork(own, own), comm="thread")])

    assert len(table) == 1
    assert table.parents(own) == ()


def test_slow_operation_of_an_unknown_process(table: Processes) -> None:
    """The process comes into the table with what the event tells, and its own events are believed more."""
    event = slow_event(pid=100, end=NOW + 5 * SECOND)
    table.see(event)
    found = table.find(100)
    assert found
    assert (found.key, found.parent, found.comm, found.owner_id) == (event.process, ProcessKey(1, 0), "db", 7)

    table.apply([exec_(event.process, comm="db2", time=NOW + 4 * SECOND)])
    table.see(event)
    assert [own.comm for own in (table.find(100),) if own] == ["db2"]
    assert len(table) == 1


def test_slow_operation_of_one_that_has_ended(table: Processes) -> None:
    """The last operation of a process, told after its end, makes no ghost."""
    event = slow_event(pid=100)
    table.apply([exit_(event.process)])
    table.see(event)

    assert table.living == 0


def test_parents(table: Processes) -> None:
    """The nearest comes first; 64 at most."""
    keys = [key(pid) for pid in range(10, 110)]
    table.apply([fork(own, parent) for parent, own in zip([INIT, *keys], keys, strict=False)])

    assert [own.key for own in table.parents(keys[2])] == [keys[1], keys[0]]
    assert len(table.parents(keys[-1])) == 64
    assert table.parents(key(5)) == ()


def test_tree(table: Processes) -> None:
    """Children follow their parent; the branch with the most weight below it goes first."""
    a, b, c, d = map(key, (10, 11, 12, 13))
    table.apply([fork(a), fork(b, a), fork(c, a), fork(d)])
    weights = {c: 5, d: 3}

    assert [(node.process.key, node.depth, node.weight) for node in table.tree(lambda own: weights.get(own, 0))] == [
        (a, 0, 5),
        (c, 1, 5),
        (b, 1, 0),
        (d, 0, 3),
    ]


def test_tree_without_the_dead(table: Processes) -> None:
    """Those that have ended are left out unless they weigh something; who lives below them stays."""
    a, b, c, d = map(key, (10, 11, 12, 13))
    table.apply([fork(a), fork(b, a), fork(c, b), fork(d, a)])
    table.apply([exit_(b), exit_(d)])

    assert [node.process.key for node in table.tree(ended=False)] == [a, c]
    assert [node.process.key for node in table.tree(lambda own: int(own == d), ended=False)] == [a, d, c]


def test_deep_tree(table: Processes) -> None:
    """A chain of 5,000 processes is no recursion."""
    keys = [key(pid) for pid in range(1, 5_001)]
    table.apply([fork(own, parent) for parent, own in zip([ProcessKey(0, 0), *keys], keys, strict=False)])

    assert [node.depth for node in table.tree()] == list(range(5_000))


def test_circle(table: Processes) -> None:
    """Processes that are each other's parents, as a lie or a race could tell, hang nothing."""
    a, b = key(10, NOW), key(11, NOW)
    table.apply([fork(a, b), fork(b, a)])

    assert len(table.parents(a)) <= 2
    assert len(list(table.tree())) <= 2


def test_the_dead_go_first(clock: Clock) -> None:
    """When the table is full, those that ended longest ago make room."""
    table = Processes(Procfs(""), clock, limit=100)
    table.apply([fork(key(pid)) for pid in range(2, 102)])
    table.apply([exit_(key(pid)) for pid in (50, 20)])
    table.apply([fork(key(200)), fork(key(201))])
    assert table.find(50) is table.find(20) is None
    assert (len(table), table.living, table.evicted) == (100, 100, 2)


def test_then_the_oldest_leaves(clock: Clock) -> None:
    """Without any that ended, the oldest processes without children go, some at a time, and are counted."""
    table = Processes(Procfs(""), clock, limit=64)
    root = key(1)
    table.apply([fork(root, ProcessKey(0, 0)), *(fork(key(pid), root) for pid in range(2, 65))])
    table.apply([fork(key(100), root)])

    assert table.find(1)
    assert table.find(2) is table.find(5) is None
    assert table.find(6)
    assert (len(table), table.evicted) == (61, 4)


@pytest.mark.parametrize("shape", ["flat", "chain", "short"])
def test_storm_of_forks(clock: Clock, shape: str) -> None:
    """50,000 forks neither grow the table nor stall it, whatever tree they make."""
    table = Processes(Procfs(""), clock, limit=2_048)
    before = time.process_time()
    for pid in range(2, 50_002):
        own, parent = key(pid), key(pid - 1) if shape == "chain" else INIT
        table.apply([fork(own, parent), exit_(own)] if shape == "short" else [fork(own, parent)])
    seconds = time.process_time() - before

    assert len(table) <= 2_048
    assert table.evicted == 50_000 - len(table)
    assert len(table._by_pid) <= 2_048
    assert seconds < 5


class FakeProcfs:
    """A procfs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, pid: int, ticks: int, parent: int = 1, comm: str | bytes = "sh") -> None:
        own = self.folder / str(pid)
        own.mkdir(exist_ok=True)
        name = comm.encode() if isinstance(comm, str) else comm
        rest = f" S {parent} " + "0 " * 17 + f"{ticks} 0 0"
        (own / "stat").write_bytes(f"{pid} (".encode() + name + b")" + rest.encode())
        (own / "exe").unlink(missing_ok=True)
        (own / "exe").symlink_to("/usr/bin/dash (deleted)")

    def end(self, pid: int) -> None:
        (self.folder / str(pid) / "stat").unlink()


@pytest.fixture
def procfs(tmp_path: Path) -> FakeProcfs:
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").touch()
    return FakeProcfs(tmp_path)


def test_seed(procfs: FakeProcfs, clock: Clock) -> None:
    """What runs already is known by PID and by its exact start, of which procfs shows the tick; an event is believed more."""
    procfs.put(1, 0, 0, "init")
    procfs.put(10, 500, comm=") R 7 (")
    procfs.put(11, 600, 10, b"\xff\n")
    table = Processes(Procfs(str(procfs.folder)), clock)
    known = ProcessKey(12, 1)
    table.apply([fork(known)])
    procfs.put(12, 0, comm="stale")
    table.seed(lambda pid: 1_000 + pid)

    exact = ProcessKey(11, 600 * TICK + 77)
    found = table.get(exact)
    assert found
    assert (found.key, found.parent, found.comm, found.path) == (exact, ProcessKey(10, 500 * TICK), "\udcff\n", "/usr/bin/dash")
    assert found.owner_id == 1_011
    assert [own.comm for own in table.parents(exact)] == [") R 7 (", "init"]
    assert table.get(ProcessKey(11, 601 * TICK)) is None
    assert table.get(known) == table.find(12)
    assert [own.comm for own in (table.find(12),) if own] == ["sh"]

    table.apply([exit_(exact)])
    assert (len(table), table.living) == (4, 3)


def test_lost_ends_are_found(procfs: FakeProcfs, clock: Clock) -> None:
    """Processes that procfs does not have any more, or has another in their place, have ended; one that was given another parent has it."""
    procfs.put(1, 0, 0, "init")
    for pid in (10, 11, 12):
        procfs.put(pid, 500, 10 if pid == 12 else 1)
    table = Processes(Procfs(str(procfs.folder)), clock)
    table.seed()
    procfs.end(10)
    procfs.put(11, 700)
    procfs.put(12, 500, 1)
    clock.ns += 3 * SECOND
    table.maintain()

    assert table.lost == 2
    assert [node.process.key.pid for node in table.tree() if not node.process.ended] == [1, 12]
    assert [own.key.pid for own in table.parents(ProcessKey(12, 500 * TICK))] == [1]


def test_new_process_is_not_looked_for(procfs: FakeProcfs, clock: Clock) -> None:
    """What began a moment ago may not be in procfs when it is looked for; it is left alone."""
    table = Processes(Procfs(str(procfs.folder)), clock)
    table.apply([fork(key(10), time=NOW - SECOND)])
    table.maintain()

    assert table.living == 1


def test_this_host() -> None:
    """The real procfs: this test's own process with its parents, and a child that ends."""
    child = subprocess.Popen(["sleep", "60"])
    time.sleep(0.05)
    try:
        table = Processes(Procfs("/proc"), lambda: time.monotonic_ns() + 10 * SECOND)
        table.seed()
        own = table.find(child.pid)
    finally:
        child.kill()
        child.wait()
    assert own
    assert own.comm == "sleep"
    assert own.path.endswith(("sleep", "busybox", "coreutils"))
    assert own.parent.pid == table.parents(own.key)[0].key.pid == os.getpid()

    for _ in range(1_000):
        table.maintain()
        if (found := table.find(child.pid)) and found.ended:
            break
    assert found
    assert found.ended


def test_procfs_without_a_point() -> None:
    """Where not every process can be seen, none is."""
    table = Processes(Procfs(""), Clock())
    table.seed()
    table.maintain()

    assert len(table) == 0


@pytest.mark.parametrize(
    ("text", "v1", "v2"),
    [
        ("0::/system.slice/a.service\n", None, ("system.slice", "a.service")),
        ("4:memory:/x\n1:name=systemd:/y\n0::/y:z\n", ("x",), ("y:z",)),
        ("7:cpu,memory:/\n", (), None),
        ("4:name=systemd:/a\rb\n3:memory:/a\rb\n0::/a\rb\n", ("a\rb",), ("a\rb",)),
        ("0::/../b\n", None, None),
        ("", None, None),
    ],
)
def test_cgroup(procfs: FakeProcfs, text: str, v1: tuple[str, ...] | None, v2: tuple[str, ...] | None) -> None:
    """The path of the hierarchy that owners come from; none where a cgroup namespace hides it."""
    procfs.put(10, 1)
    (procfs.folder / "10" / "cgroup").write_text(text)
    own = Procfs(str(procfs.folder))

    assert (own.cgroup(10, on_v1=True), own.cgroup(10, on_v1=False)) == (v1, v2)
    assert own.cgroup(11, on_v1=False) is None
