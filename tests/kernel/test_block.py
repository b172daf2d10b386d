"""Requests of a disk that nobody else uses, against the kernel's own count of them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perflens.kernel.attach import attach
from perflens.kernel.attached import REQUEST_IS_OVER, Sizes, object_path, object_types
from perflens.kernel.features import inspect
from perflens.registry import discover
from tests.kernel.disks import BLOCK, buffered, counted, direct, discard, diskstats, settled, zeroed_loop
from tests.kernel.faults import slow_disk
from tests.kernel.slow import until
from tests.kernel.support import agent, closed_ledger, group, wait


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    with zeroed_loop(tmp_path) as disk:
        yield disk


@pytest.fixture(params=["tp_btf", "raw_tp"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with agent(tmp_path, f"--probes.block.attach={request.param}") as running:
        yield running.url


def in_flight(disk: str) -> int:
    """How many reads of a disk have not ended."""
    return int((Path("/sys/block") / disk / "inflight").read_text().split()[0])


@pytest.mark.parametrize(
    ("operation", "work"),
    [
        pytest.param("read", lambda disk: direct(disk, "read", 1_009, 1), id="reads"),
        pytest.param("read", lambda disk: direct(disk, "read", 4_001, 32), id="reads at depth 32"),
        pytest.param("read", lambda disk: direct(disk, "read", 4_001, 128), id="reads at depth 128"),
        pytest.param("write", lambda disk: direct(disk, "write", 1_009, 1), id="direct writes"),
        pytest.param("write", buffered, id="buffered writes and fsync"),
        pytest.param("discard", discard, id="discards"),
    ],
)
def test_requests_bytes_and_time_are_those_of_the_kernel(url: str, loop: str, operation: str, work: Callable[[str], None]) -> None:
    before, page = diskstats(loop, operation), closed_ledger(url)
    known = counted(page, loop, operation)
    work(loop)
    page = settled(url, loop, operation, lambda: known.requests + diskstats(loop, operation).since(before).requests)
    expected, found = diskstats(loop, operation).since(before), counted(page, loop, operation).since(known)
    assert expected.requests > 0
    assert found.population == expected.population
    timed = page.total("perflens_block_device_duration_seconds_count", device=loop, operation=operation)
    assert found.milliseconds <= expected.milliseconds + 2 + expected.requests // 1_000
    if timed == counted(page, loop, operation).requests:  # else the kernel skipped programs, and the time of a request's end with them
        assert found.milliseconds >= expected.milliseconds - 2 - expected.requests // 1_000


@pytest.mark.parametrize("rung", ["tp_btf", "raw_tp"])
def test_a_request_whose_begin_was_not_seen(rung: str, tmp_path: Path) -> None:
    """One that is under way when the probe is attached is counted at its end, with the kernel's times, for whom its memory belongs to."""
    with slow_disk(tmp_path) as slow, group("early") as own:
        disk = slow.device.name
        before = diskstats(disk, "read")
        slow.delays.set(read=60)
        reader = own.run(lambda: direct(disk, "read", 1, 1))
        until(lambda: in_flight(disk) == 1)
        with agent(tmp_path, f"--probes.block.attach={rung}") as running:
            assert in_flight(disk) == 1
            slow.delays.set()
            wait(reader)
            page = settled(running.url, disk, "read", lambda: 1)
            expected = diskstats(disk, "read").since(before)
            assert counted(page, disk, "read", unit=own.unit).population == counted(page, disk, "read").population == (1, BLOCK)
            assert abs(counted(page, disk, "read").milliseconds - expected.milliseconds) <= 2
            assert page.total("perflens_block_held_duration_seconds_sum", device=disk) == 0
            assert page.total("perflens_probe_held_unknown_total", probe="block") >= 1
            assert page.total("perflens_probe_requests_attributed_total", method="memcg") >= 1


@pytest.mark.parametrize("rung", ["tp_btf", "raw_tp"])
def test_whether_a_request_is_over(rung: str, tmp_path: Path) -> None:
    """The kernel's own request says whether it has ended, though its end be never seen."""
    host = inspect()
    place = object_types(object_path("block", host.machine)).struct("request_slot").unpacker("start", "request", "number")
    with slow_disk(tmp_path) as slow, group("waiting") as own:
        status = slow.device.stat().st_rdev
        slow.delays.set(read=60)
        kernel = attach("block", discover()["block"], host, rung=rung, sizes=Sizes.of(host, 256), thresholds=[1 << 40] * 5)
        try:
            reader = own.run(lambda: direct(slow.device.name, "read", 1, 1))
            until(lambda: in_flight(slow.device.name) == 1)
            slots = place.iter_unpack(kernel.slots.bytes())
            (request,) = (request for start, request, number in slots if start and number == os.major(status) << 20 | os.minor(status))
            before = kernel.run(REQUEST_IS_OVER, struct.pack("=Q", request))
            slow.delays.set()
            wait(reader)
            assert (before, kernel.run(REQUEST_IS_OVER, struct.pack("=Q", request))) == (0, 1)
        finally:
            kernel.close()
