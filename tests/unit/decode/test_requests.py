"""decode/requests.py: one request, from what the kernel side writes to a SlowEvent."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from perflens.decode.requests import RequestDecoder
from perflens.decode.sums import UndecodableEvent
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import OWNER_UNKNOWN, BlockRequest, FileIdentity, ProcessKey, SlowEvent
from perflens.probes.block import PROBE
from perflens.testing import FakeCells

EVENT = object_types(object_path("block", inspect().machine)).struct("event")
WHOLE: dict[str, Any] = {
    "operation": 1,
    "start": 1_000,
    "duration": 60,
    "process_start": 2**63,
    "pid": 77,
    "tid": 78,
    "parent": 1,
    "owner": OWNER_UNKNOWN,
    "result": 8_192,
    "sector": 2**63,
    "operation_start": 990,
    "held": 10,
    "queue": 20,
    "device": 30,
    "number": 259 << 20 | 7,
    "bytes": 8_192,
    "issues": 2,
    "comm": "kworker/u4:1",
    "process_name": "db",
    "object": "nvme0n1",
}


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("block", PROBE)


@pytest.fixture
def decoder(cells: FakeCells) -> RequestDecoder:
    return RequestDecoder("block", EVENT, cells.operations)


@pytest.fixture
def decoded(cells: FakeCells, decoder: RequestDecoder) -> Any:
    """Decode a request of these members, through the ring."""

    def through_the_ring(**chosen: Any) -> SlowEvent:
        assert cells.emit(cells.request(**{**WHOLE, **chosen}))
        batch, used, records, _ = cells.ring.drain()
        found = decoder.sums(batch, used, 1)
        assert (records, found.longest, found.refused) == (1, [0], [])
        return decoder.record(batch, 0)

    return through_the_ring


def test_every_field(decoded: Any) -> None:
    """What the kernel side wrote is what the event says, in every field, to the last bit."""
    request = BlockRequest("write", (259, 7), 2**63, 8_192, 1_000, 10, 20, 30, 0, "nvme0n1")

    assert decoded() == SlowEvent(
        probe="block",
        operation="write",
        object_name="nvme0n1",
        in_progress=False,
        start=1_000,
        duration=60,
        process=ProcessKey(77, 2**63),
        parent_pid=1,
        tid=78,
        comm="kworker/u4:1",
        process_name="db",
        owner_id=OWNER_UNKNOWN,
        result=8_192,
        file=FileIdentity("", False, (259, 7), 0),
        on_cpu=0,
        runqueue=0,
        unattributed=0,
        blocked={"held": 10, "queue": 20, "device": 30},
        waits=(),
        waits_seen=0,
        kernel_stack=(),
        user_stack=(),
        requests=(request,),
        requests_seen=1,
        is_request=True,
        operation_start=990,
    )
    assert (request.end, request.identity) == (1_060, (1_000, 2**63, (259, 7)))


def test_request_that_failed(decoded: Any) -> None:
    """The result is what the kernel says, and the request has the error."""
    found = decoded(result=-5, object="")

    assert (found.result, found.requests[0].error, found.object_name) == (-5, 5, "unknown")


def test_sums(cells: FakeCells, decoder: RequestDecoder) -> None:
    """Requests are summed up by process as operations are."""
    for duration in (60, 60, 90):
        cells.emit(cells.request(**{**WHOLE, "duration": duration, "device": duration - 30}))
    batch, used, _, _ = cells.ring.drain()
    (found,) = decoder.sums(batch, used, 3).sums

    assert (found.process, found.name, found.events, found.total, found.maximum) == (ProcessKey(77, 2**63), "db", 3, 210, 90)


@pytest.mark.parametrize(
    ("member", "number"),
    [("operation", 5), ("operation", 2**16 - 1), ("duration", 59), ("duration", 61), ("held", 2**64 - 1), ("device", 0)],
)
def test_numbers_that_cannot_be(cells: FakeCells, decoder: RequestDecoder, member: str, number: int) -> None:
    """A request of no known operation, and one whose parts are not its duration, is refused."""
    payload = cells.request(**{**WHOLE, member: number})
    with pytest.raises(UndecodableEvent):
        decoder.whole(payload, 0, len(payload))


@pytest.mark.parametrize("length", [0, 1, EVENT.size - 1, EVENT.size + 1])
def test_record_that_is_cut(cells: FakeCells, decoder: RequestDecoder, length: int) -> None:
    """A record that is shorter than an event, or than it says, is refused."""
    payload = struct.pack("=II", length, 0) + cells.request(**WHOLE)
    with pytest.raises(UndecodableEvent):
        decoder.record(payload, 0)
