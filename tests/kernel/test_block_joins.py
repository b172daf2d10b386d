"""Slow operations and the requests that served them: each names the other, in the API and at a collector."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collectors import Place, free_ports, read
from tests.kernel.disks import BLOCK, SECTOR
from tests.kernel.faults import slow_disk
from tests.kernel.slow import Event, events, until, wait_for_events
from tests.kernel.support import agent, group, wait

DELAY, FLUSH = 0.03, 0.05  # s
WRITTEN_AT, READ_AT, SYNCED_AT = 11 << 20, 23 << 20, 37 << 20
WRITTEN, SYNCED = 2 * BLOCK, 16 * BLOCK
Span = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The events of three operations of one process on a slow disk, by operation, those of their requests, and all spans."""

    disk: str
    number: str
    unit: str
    operations: dict[str, Event]
    requests: list[Event]
    spans: list[Span] | None


def work(device: Path) -> None:
    """A direct write, a read that misses the page cache, and an fsync of what is dirty: each is slow, and nothing else is."""
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    assert os.pwritev(fd, [mmap.mmap(-1, WRITTEN)], WRITTEN_AT) == WRITTEN
    os.close(fd)
    fd = os.open(device, os.O_RDWR)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    assert len(os.pread(fd, BLOCK, READ_AT)) == BLOCK
    assert os.pwrite(fd, bytes(SYNCED), SYNCED_AT) == SYNCED
    os.fsync(fd)
    os.close(fd)


@pytest.fixture(scope="module")
def seen(rung: str, collector_binary: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("joins")
    flags = [f"--probes.{probe}.attach={rung}" for probe in ("file", "block")] + ["--events.rate=0"]
    place: Place | None = None
    collecting: AbstractContextManager[Path] = nullcontext(Path())
    if collector_binary:
        place = Place(collector_binary, folder, free_ports())
        flags.append(f"--otlp.endpoint={place.url('http/protobuf')}")
        collecting = place.collector()
    environment = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
    running_agent = agent(folder, *flags, environment=environment)
    with collecting as received, slow_disk(folder) as slow, group("slow") as own, running_agent as running:
        slow.delays.set(read=DELAY, write=DELAY, sync=FLUSH)
        wait(own.run(lambda: work(slow.device)))
        slow.delays.set()
        found = wait_for_events(running.url, 3, owner=own.unit, probe="file")
        wait_for_events(running.url, 5, owner=own.unit, probe="block")
        until(lambda: not place or len(of_owner(received, own.unit)) >= 3)
        time.sleep(0.5)  # what comes twice comes now
        status = slow.device.stat()
        yield Seen(
            slow.device.name,
            f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}",
            own.unit,
            {event["operation"]: event for event in found},
            events(running.url, owner=own.unit, probe="block")[::-1],
            [span for span, _ in read(received)] if place else None,
        )


def named(span: Span) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def of_owner(received: Path, unit: str) -> list[Span]:
    """The spans of operations of an owner."""
    if not received.exists():
        return []
    return [span for span, _ in read(received) if named(span).get("perflens.owner") == unit and span["name"].startswith("file.")]


def expected(operation: str) -> list[tuple[str, int, int]]:
    """Operation, sector and bytes of the requests that served it; the last one of an fsync is empty, and flushes the device's cache."""
    return {
        "write": [("write", WRITTEN_AT // SECTOR, WRITTEN)],
        "read": [("read", READ_AT // SECTOR, BLOCK)],
        "fsync": [("write", SYNCED_AT // SECTOR, SYNCED), ("write", 0, 0)],
    }[operation]


@pytest.mark.parametrize("operation", ["write", "read", "fsync"])
def test_an_operation_names_its_requests(seen: Seen, operation: str) -> None:
    """Disk, place and size are those of the work, and the times those of the disk; they fit into the operation."""
    own = seen.operations[operation]
    requests = own["requests"]
    assert [(each["operation"], each["sector"], each["bytes"]) for each in requests] == expected(operation)
    assert {(each["disk"], each["device"], each["error"]) for each in requests} == {(seen.disk, seen.number, 0)}
    assert own["requests_seen"] == len(requests)
    at = 0
    for each in requests:
        took = each["held_ns"] + each["queue_ns"] + each["device_ns"]
        assert each["device_ns"] >= (DELAY if each["bytes"] else FLUSH) * 1e9
        assert each["offset_ns"] >= at
        at = each["offset_ns"] + took
    assert at <= own["duration_ns"]


def of_operation(seen: Seen, operation: str) -> list[Event]:
    """The events of the requests that are of an operation's time."""
    own = seen.operations[operation]
    end = own["start_time_ns"] + own["duration_ns"]
    return [each for each in seen.requests if each["operation"] != "flush" and own["start_time_ns"] <= each["start_time_ns"] <= end]


@pytest.mark.parametrize("operation", ["write", "read", "fsync"])
def test_a_request_is_an_event_too(seen: Seen, operation: str) -> None:
    """Each request of an operation is one event of the same thread and owner, with the same times."""
    own, found = seen.operations[operation], of_operation(seen, operation)
    started = int(own["id"].rpartition("-")[2])  # by CLOCK_MONOTONIC
    assert len(found) == len(own["requests"])
    for event, request in zip(found, own["requests"], strict=True):
        assert event["requests"] == [{**request, "offset_ns": 0}]
        assert event["id"] == f"block-{own['tid']}-{started + request['offset_ns']}-{request['sector']}"
        assert event["time"]["blocked_ns"] == {part: request[f"{part}_ns"] for part in ("held", "queue", "device")}
        assert (event["tid"], event["process"], event["owner"]) == (own["tid"], own["process"], own["owner"])


def test_a_flush_of_the_device_is_of_who_asked(seen: Seen) -> None:
    """It is an event of its own: an operation waits for the empty write, of which the kernel makes the flush."""
    (flush,) = [each for each in seen.requests if each["operation"] == "flush"]
    assert len(seen.requests) == 1 + sum(len(each["requests"]) for each in seen.operations.values())
    assert flush["owner"]["unit"] == seen.unit
    assert flush["time"]["blocked_ns"]["device"] >= FLUSH * 1e9


@pytest.mark.parametrize("operation", ["write", "read", "fsync"])
def test_a_request_is_a_span_below_its_operation(seen: Seen, operation: str) -> None:
    """At the collector it is a child, once, in the trace that both events name."""
    if seen.spans is None:
        pytest.skip("no collector can be built here: tests/components/collector says why")
    own, events_of = seen.operations[operation], of_operation(seen, operation)
    children = [span for span in seen.spans if span.get("parentSpanId") == own["span_id"] and span["name"].startswith("block.")]
    children.sort(key=lambda span: int(span["startTimeUnixNano"]))
    assert [(span["name"], span["traceId"], span["spanId"]) for span in children] == [
        (f"block.{event['operation']}", own["trace_id"], event["span_id"]) for event in events_of
    ]
    assert {event["trace_id"] for event in events_of} == {own["trace_id"]}
    for span, request in zip(children, own["requests"], strict=True):
        said = named(span)
        assert (said["system.device"], int(said["perflens.block.sector"])) == (seen.disk, request["sector"])
        assert int(said["perflens.bytes"]) == request["bytes"]
        assert said["perflens.blocked.device"] == request["device_ns"] / 1e9
        took = request["held_ns"] + request["queue_ns"] + request["device_ns"]
        assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == took
    ids = [event["span_id"] for event in events_of]
    assert all(sum(span["spanId"] == own_id for span in seen.spans) == 1 for own_id in ids)


def test_a_request_that_outlives_its_operation(rung: str, tmp_path: Path) -> None:
    """A write that sync_file_range began and did not wait for ends between two reads of the next operation: it is none of that one's."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    flags = [f"--probes.{probe}.attach={rung}" for probe in ("file", "block")]
    with slow_disk(folders[0]) as one, slow_disk(folders[1]) as other, group("outlived") as own, agent(tmp_path, *flags) as running:

        def work() -> None:
            first, second = (os.open(disk.device, os.O_RDWR) for disk in (one, other))
            os.pwrite(first, bytes(BLOCK), 0)
            ctypes.CDLL(None).sync_file_range(first, ctypes.c_long(0), ctypes.c_long(BLOCK), 2)
            os.pwrite(second, bytes(2 * BLOCK), BLOCK // 2)  # reads the first block and the last one, to change a part of each
            for fd in (first, second):
                os.close(fd)

        one.delays.set(write=5 * DELAY)
        other.delays.set(read=3 * DELAY)
        wait(own.run(work))
        other.delays.set()
        (event,) = wait_for_events(running.url, 1, lambda event: event["operation"] == "write", owner=own.unit, probe="file")
    assert [(each["operation"], each["sector"]) for each in event["requests"]] == [("read", 0), ("read", 2 * BLOCK // SECTOR)]
    assert event["requests_seen"] == 2
