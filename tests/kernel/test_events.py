"""Slow operations as events: each of them once, in the API and at a collector, with whose it was, on what, and where its time went."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collectors import Place, free_ports, read
from tests.kernel.faults import accounted
from tests.kernel.slow import Event, api, events, throttled, until, wait_for_events
from tests.kernel.support import agent, owner_tree, scrape, wait
from tests.throttle import BLOCK, Group

WRITES = 23
COMM = "slow-writer"
Span = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What the writer said of itself: ids, and when each write began and how long it took by its own clock."""

    pid: int
    tid: int
    began: tuple[int, ...]
    taken: tuple[int, ...]


def _write_all(file: Path, tell: int) -> None:
    Path("/proc/thread-self/comm").write_text(COMM)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    block, began, taken = mmap.mmap(-1, BLOCK), [], []
    for number in range(WRITES):
        began.append(time.monotonic_ns())
        os.pwrite(fd, block, number * BLOCK)
        taken.append(time.monotonic_ns() - began[-1])
    os.write(tell, struct.pack(f"=2Q{2 * WRITES}Q", os.getpid(), threading.get_native_id(), *began, *taken))


def _slow_writes(file: Path, group: Group, in_thread: bool) -> Told:
    """Write in a process of the group, by its main thread or another one."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for procs in group.procs:
                Path(procs).write_text("0")
            if in_thread:
                thread = threading.Thread(target=_write_all, args=(file, tell))
                thread.start()
                thread.join()
            else:
                _write_all(file, tell)
            os._exit(0)
        finally:
            os._exit(1)
    wait(pid)
    own, tid, *times = struct.unpack(f"=2Q{2 * WRITES}Q", os.read(told, 16 + 16 * WRITES))
    os.close(told)
    os.close(tell)
    assert own == pid
    return Told(pid, tid, tuple(times[:WRITES]), tuple(times[WRITES:]))


@dataclass(frozen=True)
class Writes:
    """The events of slow writes, oldest first, and what is known of them without the agent."""

    url: str
    events: list[Event]
    told: Told
    group: Group
    owner: int
    file: Path
    file_status: os.stat_result
    spans: list[Span] | None
    rung: str


@pytest.fixture(scope="module", params=["default rate, main thread", "every event, another thread"])
def writes(
    request: pytest.FixtureRequest, rung: str, collector_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Writes]:
    """23 writes past the page cache by a throttled process, seen by an agent that sends spans."""
    folder, every = tmp_path_factory.mktemp("writes"), request.param != "default rate, main thread"
    flags = ["--events.rate=0"] if every else []
    place, received = None, nullcontext(Path())
    if collector_binary:
        place = Place(collector_binary, folder, free_ports())
        flags.append(f"--otlp.endpoint={place.url('http/protobuf')}")
    collecting: AbstractContextManager[Path] = place.collector() if place else received
    environment = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
    with collecting as spans, throttled(folder) as group:
        file = folder / "throttled"
        with agent(folder, f"--probes.file.attach={rung}", "--probes.strict", *flags, environment=environment) as running:
            owner = (owner_tree() / group.name).stat().st_ino
            told = _slow_writes(file, group, every)
            found = wait_for_events(running.url, WRITES, owner=f"/{group.name}")
            until(lambda: not place or len(_roots(spans, group)) >= WRITES)
            time.sleep(0.5)  # what comes twice comes now
            roots = _roots(spans, group) if place else None
            yield Writes(running.url, found[::-1], told, group, owner, file, file.stat(), roots, rung)


def _roots(file: Path, group: Group) -> list[Span]:
    """The spans without a parent of an owner, with their attributes by name."""
    if not file.exists():
        return []
    found = []
    for span, _ in read(file):
        attributes = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
        if not span.get("parentSpanId") and attributes["perflens.owner"] == f"/{group.name}":
            found.append({**span, "attributes": attributes})
    return sorted(found, key=lambda span: int(span["startTimeUnixNano"]))


def test_each_slow_write_is_one_event(writes: Writes) -> None:
    """23 writes are 23 events of their owner, and no other operation is its."""
    assert len(writes.events) == WRITES
    assert len(events(writes.url, owner=f"/{writes.group.name}")) == WRITES
    assert {(event["probe"], event["operation"], event["object"]) for event in writes.events} == {("file", "write", _file_system(writes))}
    assert len({event["id"] for event in writes.events}) == WRITES
    assert scrape(writes.url).slow(f"/{writes.group.name}", "write") == WRITES


def _file_system(writes: Writes) -> str:
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(writes.file.parent)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_filters_and_limits_of_the_api(writes: Writes) -> None:
    """Each filter leaves the events that it says, the newest first; a limit is kept."""
    url, unit = writes.url, f"/{writes.group.name}"
    newest = [event["id"] for event in reversed(writes.events)]
    middle = sorted(event["duration_ns"] for event in writes.events)[WRITES // 2]
    last = writes.events[-1]

    def ids(**query: object) -> list[str]:
        return [event["id"] for event in events(url, owner=unit, **query)]  # type: ignore[arg-type]

    assert ids(pid=writes.told.pid) == newest
    assert ids(probe="file", operation="write") == newest
    assert ids(operation="read") == ids(pid=writes.told.pid + 1) == []
    assert len(ids(min_duration=f"{middle}ns")) == WRITES - WRITES // 2
    assert ids(since=f"{last['start_time_seconds'] + last['duration_seconds'] - 0.01:.6f}") == newest[:1]
    assert [event["id"] for event in _limited(url, unit, 5)] == newest[:5]


def _limited(url: str, unit: str, limit: int) -> list[Event]:
    found: list[Event] = api(url, "events", probe="file", owner=unit, limit=limit)["events"]
    return found


def test_an_event_says_whose_it_was(writes: Writes) -> None:
    """Process, thread, name and cgroup are the writer's."""
    names = {(event["process"]["pid"], event["tid"], event["comm"]) for event in writes.events}
    owners = {(event["owner"]["cgroup_id"], event["owner"]["path"], event["owner"]["unit"]) for event in writes.events}

    assert names == {(writes.told.pid, writes.told.tid, COMM)}
    assert owners == {(writes.owner, f"/{writes.group.name}", f"/{writes.group.name}")}
    assert {event["parent_pid"] for event in writes.events} == {os.getpid()}


def test_an_event_says_on_what(writes: Writes) -> None:
    """File, device, inode and the bytes written are those of the file."""
    status = writes.file_status
    wanted = {"path": str(writes.file), "complete": True, "device": f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"}

    assert [event["file"] for event in writes.events] == [{**wanted, "inode": status.st_ino}] * WRITES
    assert [event["result"] for event in writes.events] == [BLOCK] * WRITES


def test_an_event_says_when_and_how_long(writes: Writes) -> None:
    """Each duration is the writer's own within 2 %, and each began when the writer says."""
    offset = time.time_ns() - time.monotonic_ns()
    for event, began, taken in zip(writes.events, writes.told.began, writes.told.taken, strict=True):
        assert 0.98 * taken <= event["duration_ns"] <= taken
        assert abs(event["start_time_ns"] - offset - began) < 5_000_000


UNSEEN = 4


def _seen(writes: Writes) -> list[Event]:
    """The events whose sleep was seen to its end: a virtual machine may hide the switches of some of its threads from programs."""
    return [event for event in writes.events if "cgroup_throttle" in event["time"]["blocked_ns"]]


def test_the_time_is_accounted_for(writes: Writes) -> None:
    """The parts of each event sum to its duration to the ns, and at least 95 % of what was blocked is the throttle's, with any rung."""
    assert [accounted(event) for event in writes.events] == [event["duration_ns"] for event in writes.events]
    seen = _seen(writes)
    assert len(seen) >= WRITES - UNSEEN
    for event in seen:
        blocked = event["time"]["blocked_ns"]
        assert blocked["cgroup_throttle"] >= 0.95 * sum(blocked.values())
        assert sum(blocked.values()) > 0.9 * event["duration_ns"]


def test_single_waits_lie_within_their_event(writes: Writes) -> None:
    """The waits that are shown follow each other, and those of a reason are no longer than the event's time for it."""
    for event in writes.events:
        waits, at = event["waits"], 0
        for own in waits:
            assert own["offset_ns"] >= at
            at = own["offset_ns"] + own["blocked_ns"] + own["runqueue_ns"]
        assert waits or event not in _seen(writes)
        assert at <= event["duration_ns"]
        assert {own["reason"] for own in waits} <= {"cgroup_throttle", "block_io", "runqueue", "unclassified"}
        throttled = sum(own["blocked_ns"] for own in waits if own["reason"] == "cgroup_throttle")
        assert throttled <= event["time"]["blocked_ns"].get("cgroup_throttle", 0)


def test_a_stack_where_the_rung_has_one(writes: Writes) -> None:
    """The stack is that of the longest sleep; this rung's programs cannot take another task's."""
    stacks = [[frame.split("+")[0] for frame in event["kernel_stack"]] for event in writes.events]
    if writes.rung == "raw_tp":
        assert stacks == [[]] * WRITES
        return
    assert sum("vfs_write" in stack for stack in stacks) <= len(_seen(writes))
    assert sum("vfs_write" in stack for stack in stacks) >= WRITES - UNSEEN


def test_each_event_is_one_trace(writes: Writes) -> None:
    """The collector has one root span for each event, under the event's own trace id, and it says the same."""
    if writes.spans is None:
        pytest.skip("no collector can be built here: tests/components/collector says why")
    pairs = list(zip(writes.spans, writes.events, strict=True))

    assert len(pairs) == WRITES
    for span, event in pairs:
        said = span["attributes"]
        assert (span["name"], span["traceId"], span["spanId"]) == ("file.write", event["trace_id"], event["span_id"])
        assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == event["duration_ns"]
        assert (int(said["process.pid"]), int(said["thread.id"])) == (writes.told.pid, writes.told.tid)
        assert (said["thread.name"], said["process.linux.cgroup"]) == (COMM, f"/{writes.group.name}")
        assert (said["perflens.file.path"], said["perflens.file.inode"]) == (str(writes.file), str(writes.file_status.st_ino))
        assert (said["perflens.file.device"], int(said["perflens.bytes"])) == (event["file"]["device"], BLOCK)
        blocked = event["time"]["blocked_ns"]
        assert {name: said[f"perflens.blocked.{name}"] for name in blocked} == {name: ns / 1e9 for name, ns in blocked.items()}
