"""Who is who when ids are used again, and when threads share a slot."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import subprocess
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from perflens.decode.events import EventDecoder, EventLayouts
from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import inspect
from perflens.layout import enum_labels
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH, SlowEvent
from perflens.registry import discover
from tests.kernel.slow import Event, api, cold_file, in_group, program, release, throttled, until, wait_for_events
from tests.kernel.support import Group, RunningAgent, agent, closed_ledger, group, owner_tree, remove, wait

WRITES = 5
PR_SET_NAME = 15
CLONE3 = 435  # on every architecture
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.fixture(scope="module")
def running(rung: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that measures the processes of these tests, to which every operation is slow."""
    own = owner_tree() / f"perflens-identity-{os.getpid()}"
    own.mkdir()
    flags = (f"--probes.file.attach={rung}", "--probes.strict", "--threshold=1us", "--events.rate=0", f"--filter.cgroup=/{own.name}")
    try:
        with agent(tmp_path_factory.mktemp("agent"), *flags) as found:
            yield found
    finally:
        remove(own)


@pytest.fixture
def folders(running: RunningAgent) -> Iterator[list[Path]]:
    """Three groups that the agent measures."""
    above = owner_tree() / f"perflens-identity-{os.getpid()}"
    found = [above / f"{name}-{time.monotonic_ns()}" for name in ("first", "second", "third")]
    for folder in found:
        folder.mkdir()
    yield found
    for folder in found:
        remove(folder)


class _CloneArguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid", "set_tid_size")
    ]


def _fork_as(pid: int) -> int:
    """Fork a child that has this PID; -1 when it is taken."""
    wanted = ctypes.c_int32(pid)
    arguments = _CloneArguments(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if found < 0 and ctypes.get_errno() not in (0, 17):
        pytest.skip(f"PIDs cannot be chosen here: {os.strerror(ctypes.get_errno())}")
    return found


def _free_id() -> int:
    """An id that no thread has, far from those that the kernel gives next."""
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    last = int(LAST_PID.read_text()) if LAST_PID.exists() else 0
    candidates = (last + limit // 2 + step for step in range(1000))
    return next(pid for own in candidates if not Path(f"/proc/{(pid := 1000 + own % (limit - 1000))}").exists())


def _write(file: Path, comm: bytes) -> None:
    assert not ctypes.CDLL(None).prctl(PR_SET_NAME, comm, 0, 0, 0)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600)
    os.write(fd, b"x")


def _process(pid: int, folder: Path, work: Callable[[], object]) -> None:
    """A process with this PID that works in a group."""
    go, begin = os.pipe()
    child = _fork_as(pid)
    if child == 0:
        try:
            os.close(begin)
            os.read(go, 1)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert child == pid
    os.close(go)
    (folder / "cgroup.procs").write_text(str(pid))
    os.close(begin)
    wait(pid)


def _thread_as(tid: int, work: Callable[[], object]) -> None:
    """A thread of ours that has this id when it works; others that begin meanwhile may take it first."""
    for _ in range(200):
        with suppress(OSError):
            LAST_PID.write_text(str(tid - 1))
        met: list[bool] = []

        def run(met: list[bool] = met) -> None:
            met.append(threading.get_native_id() == tid)
            if met[0]:
                work()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if met[0]:
            return
    os._exit(3)


def test_a_pid_that_is_used_again(url: str, tmp_path: Path, folders: list[Path]) -> None:
    """Two processes with one PID, one after the other, are two: in the events, among the slowest and in the tree."""
    pid, units = _free_id(), [f"/{folder.parent.name}/{folder.name}" for folder in folders]
    for folder, comm in zip(folders[:2], (b"former", b"latter"), strict=True):
        _process(pid, folder, lambda comm=comm: _write(tmp_path / comm.decode(), comm))  # type: ignore[misc]
    latter, former = wait_for_events(url, 2, pid=pid, operation="write")
    page = closed_ledger(url)

    assert [(event["comm"], event["process_name"], event["owner"]["unit"], event["file"]["path"]) for event in (former, latter)] == [
        ("former", "former", units[0], str(tmp_path / "former")),
        ("latter", "latter", units[1], str(tmp_path / "latter")),
    ]
    assert former["process"]["start_ns"] < former["start_time_ns"] < latter["start_time_ns"]
    assert former["process"]["start_ns"] < latter["process"]["start_ns"]
    assert [page.count(unit, "write") for unit in units[:2]] == [1, 1]
    assert _same_pid(api(url, "processes", limit=1000)["by_maximum"], pid) == {
        former["process"]["start_ns"]: "former",
        latter["process"]["start_ns"]: "latter",
    }
    assert _same_pid(api(url, "process-tree", limit=1000)["processes"], pid) == {
        former["process"]["start_ns"]: "former",
        latter["process"]["start_ns"]: "latter",
    }


def _same_pid(found: list[Event], pid: int) -> dict[int, str]:
    return {own["process"]["start_ns"]: own["comm"] for own in found if own["process"]["pid"] == pid}


def test_a_tid_that_is_used_again(url: str, tmp_path: Path, folders: list[Path]) -> None:
    """The id of a process that ended is that of another one's thread, then again of a process: each operation is its own one's."""
    if not LAST_PID.exists():
        pytest.skip("needs /proc/sys/kernel/ns_last_pid to choose the id of a thread")
    tid, units = _free_id(), [f"/{folder.parent.name}/{folder.name}" for folder in folders]
    _process(tid, folders[0], lambda: _write(tmp_path / "first", b"first"))
    wait(Group(folders[1]).run(lambda: _thread_as(tid, lambda: _write(tmp_path / "thread", b"thread"))))
    _process(tid, folders[2], lambda: _write(tmp_path / "last", b"last"))
    last, thread, first = wait_for_events(url, 3, lambda event: bool(event["tid"] == tid), operation="write")

    assert [(event["comm"], event["owner"]["unit"], event["file"]["path"]) for event in (first, thread, last)] == [
        ("first", units[0], str(tmp_path / "first")),
        ("thread", units[1], str(tmp_path / "thread")),
        ("last", units[2], str(tmp_path / "last")),
    ]
    assert first["process"]["pid"] == last["process"]["pid"] == tid
    assert thread["process"]["pid"] != tid
    assert thread["process_name"] != "thread"
    assert len({event["process"]["start_ns"] for event in (first, thread, last)}) == 3


class _Probe:
    """The kernel side alone, with few slots, and the events that it tells."""

    def __init__(self, rung: str, slots: int) -> None:
        host = inspect()
        own = discover()["file"]
        types = object_types(object_path("file", host.machine))
        self.kernel: AttachedProbe = attach("file", own, host, rung=rung, sizes=Sizes(256, slots, 2), thresholds=[1] * 5)
        layouts = EventLayouts(
            types.struct("event"), types.struct("wait_interval"), types.struct("event_frame"), types.struct("request_note")
        )
        kinds = enum_labels("event_kind", types.enum("event_kind"))
        operations = enum_labels(own.operations, types.enum(own.operations))
        self.decoder = EventDecoder("file", layouts, operations, self.kernel.wait_reasons, kinds)

    def events(self) -> list[SlowEvent]:
        found, left = [], 1
        while left:
            batch, used, records, left = self.kernel.ring.drain()
            if not records:
                break
            at = 0
            while at < used:
                found.append(self.decoder.record(batch, at))
                at += 8 + (struct.unpack_from("=I", batch, at)[0] + 7 & ~7)
        return found

    def rows(self) -> tuple[Counter[tuple[int, int]], int]:
        """How many operations were counted of each owner and operation, and of all."""
        bindings = array("i", [-1]) * (2 * self.kernel.capacity)
        rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * 256)), array("Q", bytes(8 * SLOW_WIDTH * 256))
        unbound = self.kernel.harvest(bindings, rows, slow)
        for number, cell in enumerate(unbound):
            bindings[2 * cell] = bindings[2 * cell + 1] = number
        self.kernel.harvest(bindings, rows, slow)
        counted: Counter[tuple[int, int]] = Counter()
        for number, cell in enumerate(unbound):
            key = self.kernel.key(cell)
            counted[key.owner, key.operation] += rows[number * HISTOGRAM_WIDTH]
        return counted, sum(counted.values())


def _direct_writes(fd: int) -> None:
    block = mmap.mmap(-1, 1 << 20)
    for number in range(WRITES):
        os.pwrite(fd, block, number << 20)


@pytest.mark.parametrize("slots", [2, 8, 64])
def test_threads_that_share_a_slot(rung: str, tmp_path: Path, slots: int) -> None:
    """Of threads whose operations are in flight at once in one slot each keeps its own owner, name, file and waits."""
    count = 12
    probe = _Probe(rung, slots)
    files = [os.open(tmp_path / f"file-{number}", os.O_WRONLY | os.O_CREAT | os.O_DIRECT) for number in range(count)]
    inodes = [os.fstat(fd).st_ino for fd in files]
    pids: list[int] = []

    go, begin = os.pipe()

    def work(number: int) -> None:
        os.close(begin)
        os.read(go, 1)  # all at once
        assert not ctypes.CDLL(None).prctl(PR_SET_NAME, b"writer-%d" % number, 0, 0, 0)
        _direct_writes(files[number])

    with group("one") as one, group("two") as two:
        groups = [one, two]
        owners = [own.folder.stat().st_ino for own in groups]
        for number in range(count):
            pids.append(groups[number % 2].run(lambda number=number: work(number)))  # type: ignore[misc]
        os.close(begin)
        wait(*pids)
        time.sleep(0.1)
        probe.kernel.detach()
        counted, aggregated = probe.rows()
        slots_read = probe.kernel.slots.read()
        entered, outcomes, in_flight, missed, details = probe.kernel.ledger(slots_read)
        told = probe.kernel.events()
        events = probe.events()
    probe.kernel.close()
    for fd in (go, *files):
        os.close(fd)
    mine = [event for event in events if event.process.pid in pids and event.operation == "write" and event.file.inode in inodes]

    assert entered == aggregated + sum(outcomes.values()) + in_flight
    assert (sum(missed.values()), outcomes["no_slot"], outcomes["died"]) == (0, 0, 0)
    assert [counted[owner, 1] for owner in owners] == [count // 2 * WRITES] * 2
    assert told["emitted"] == len(events)
    assert details["slot_collision"] > 0 or slots == 64
    assert Counter((event.comm, event.owner_id, event.process.pid, event.file.inode) for event in mine) == {
        (f"writer-{number}", owners[number % 2], pids[number], inodes[number]): WRITES for number in range(count)
    }
    for event in mine:
        _sane(event)
    # A wake-up in an interrupt of another one's program is not seen, and how long that thread slept is not known.
    known = [event for event in mine if event.unattributed <= (event.duration - event.runqueue) // 10]
    assert len(known) > len(mine) * 9 // 10
    assert sum(sum(event.blocked.values()) for event in known) > sum(event.duration - event.runqueue for event in known) // 2


def test_threads_that_hang_in_one_slot(rung: str, tmp_path: Path) -> None:
    """Operations in progress that share a slot are all told, with their own owner and stack, and all of them end."""
    count = 6
    probe = _Probe(rung, 2)
    probe.kernel.tune({"in_progress_after": (100_000_000,)})
    files = [cold_file(tmp_path) for _ in range(count)]
    with throttled(tmp_path, reads=64 << 10) as slow:
        own = program(tmp_path / "hangs")
        readers = [subprocess.Popen(in_group(slow, own, file, "direct")) for file in files]
        owner = next(folder for folder in slow.folders if folder.is_relative_to(owner_tree())).stat().st_ino
        found: dict[int, SlowEvent] = {}

        def all_hang() -> bool:
            hanging = probe.decoder.several(probe.kernel.in_progress())
            found.update({event.tid: event for event in hanging if event.owner_id == owner and event.in_progress})
            return len(found) == count

        until(all_hang)
        overflowing = probe.kernel.overflowing
        release(slow)
        assert [reader.wait(20) for reader in readers] == [0] * count
        until(lambda: not probe.kernel.overflowing)  # of nobody: with two slots others of the host share them too
        probe.kernel.detach()
        ended = [event for event in probe.events() if event.tid in found and event.duration > 100_000_000]
    probe.kernel.close()

    assert {event.process.pid: event.file.path for event in found.values()} == {
        reader.pid: str(file) for reader, file in zip(readers, files, strict=True)
    }
    assert all(event.comm == "hangs" and event.kernel_stack and event.program == str(own) for event in found.values())
    assert overflowing >= count - 2
    assert {(event.tid, event.start) for event in ended} == {(event.tid, event.start) for event in found.values()}


def _sane(event: SlowEvent) -> None:
    off = event.runqueue + event.unattributed + sum(event.blocked.values())
    assert event.on_cpu == event.duration - off >= 0
    assert event.result == 1 << 20
    for wait_of_it in event.waits:
        assert event.start <= wait_of_it.off <= wait_of_it.waking <= wait_of_it.on <= event.start + event.duration
