"""Events that are damaged: UndecodableEvent, never another exception, and never a number that cannot be."""

from __future__ import annotations

import contextlib
import struct
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.decode.events import EventDecoder, EventLayouts
from perflens.decode.sums import UndecodableEvent
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.layout import enum_labels
from perflens.model import BlockRequest, SlowEvent, UserFrame, Wait
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

TYPES = object_types(object_path("file", inspect().machine))
EVENT = TYPES.struct("event")
SAME_EACH_TIME = settings(deadline=None, derandomize=True)  # a gate that fails by chance is no gate
NAMES = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")), max_size=5)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
NUMBERS = st.tuples(st.integers(0, 2**12 - 1), st.integers(0, 2**20 - 1))
REQUESTS = st.builds(BlockRequest, st.sampled_from(["read", "flush"]), NUMBERS, U64, U32, U64, U64, U64, U64, st.integers(0, 4_095))


@cache
def cells() -> FakeCells:
    return FakeCells("file", PROBE)


@cache
def decoder() -> EventDecoder:
    layouts = EventLayouts(EVENT, TYPES.struct("wait_interval"), TYPES.struct("event_frame"), TYPES.struct("request_note"))
    kinds = enum_labels("event_kind", TYPES.enum("event_kind"))
    requests = enum_labels(PROBE.requests, TYPES.enum(PROBE.requests))
    return EventDecoder("file", layouts, cells().operations, cells().wait_reasons, kinds, requests)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Any event that the kernel side can write."""
    asleep = cells().wait_reasons[: cells().wait_reasons.index("runqueue")]
    times = st.integers(0, 2**40)
    build_ids = st.one_of(st.just(b""), st.binary(min_size=20, max_size=20))
    return {
        "kind": draw(st.integers(0, 1)),
        "operation": draw(st.integers(0, 4)),
        "start": draw(U64),
        "duration": draw(st.integers(2**50, 2**60)),
        "result": draw(st.integers(-(2**63), 2**63 - 1)),
        "inode": draw(U64),
        "runqueue": draw(times),
        "unattributed": draw(times),
        "unclassified": draw(times),
        "waiting": draw(times),
        "waiting_reason": draw(st.integers(0, len(asleep))),
        "comm": draw(st.binary(max_size=16)),
        "object": draw(st.binary(max_size=16)),
        "blocked": draw(st.one_of(st.none(), st.dictionaries(st.sampled_from(asleep), times))),
        "waits": draw(st.lists(st.builds(Wait, U64, U64, U64, st.sampled_from(cells().wait_reasons)), max_size=8)),
        "requests": draw(st.lists(REQUESTS, max_size=8)),
        "kernel_stack": draw(st.lists(U64, max_size=5)),
        "user_stack": draw(st.lists(st.one_of(st.none(), st.builds(UserFrame, build_ids, U64)), max_size=5)),
        "program": draw(NAMES),
        "path": draw(NAMES),
    }


def sane(event: SlowEvent) -> None:
    """What holds of every event that is not refused."""
    assert event.duration == event.on_cpu + event.runqueue + event.unattributed + sum(event.blocked.values())
    assert event.on_cpu >= 0
    assert all(event.blocked.values())
    assert "runqueue" not in event.blocked
    assert event.file.path.startswith(("/", "…/")) or (event.file.path, event.file.complete) == ("", False)


@settings(SAME_EACH_TIME, max_examples=150)
@given(events(), st.integers(0, 9))
def test_round_trip(chosen: dict[str, Any], behind: int) -> None:
    """Whatever the kernel side writes comes out as it was."""
    payload = cells().event(**chosen)
    found = decoder().whole(payload + bytes(behind), 0, len(payload) + behind)

    sane(found)
    assert (found.start, found.duration, found.result, found.file.inode) == tuple(
        chosen[name] for name in ("start", "duration", "result", "inode")
    )
    assert (found.waits, found.kernel_stack) == (tuple(chosen["waits"]), tuple(chosen["kernel_stack"]))
    assert found.user_stack == tuple(frame for frame in chosen["user_stack"] if frame)
    assert (found.program, found.file.path) == ("/" + "/".join(chosen["program"]), "/" + "/".join(chosen["path"]))
    off_cpu = sum((chosen["blocked"] or {}).values()) + sum(
        chosen[name] for name in ("runqueue", "unattributed", "unclassified", "waiting")
    )
    assert found.on_cpu == chosen["duration"] - off_cpu


def decode(payload: bytes, length: int) -> None:
    with contextlib.suppress(UndecodableEvent):
        sane(decoder().whole(payload, 0, length))
    with contextlib.suppress(UndecodableEvent):
        for event in decoder().several(payload):
            sane(event)


@settings(SAME_EACH_TIME, max_examples=300)
@given(events(), CHANGES)
def test_damaged_events(chosen: dict[str, Any], changes: list[tuple[float, int]]) -> None:
    """A few wrong bytes anywhere."""
    payload = bytearray(cells().event(**chosen))
    for place, value in changes:
        payload[int(place * len(payload))] = value
    decode(bytes(payload), len(payload))


@settings(SAME_EACH_TIME, max_examples=200)
@given(events(), st.sampled_from(sorted(EVENT.fields)), U64)
def test_one_member_of_any_value(chosen: dict[str, Any], member: str, value: int) -> None:
    """One member that says anything: a count, a kind, a time."""
    own, payload = EVENT[member], bytearray(cells().event(**chosen))
    payload[own.offset : own.offset + own.size] = value.to_bytes(8, "little").ljust(own.size, b"\xff")[: own.size]
    decode(bytes(payload), len(payload))


@settings(SAME_EACH_TIME, max_examples=150)
@given(events(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_cut_events(chosen: dict[str, Any], part: float, length: int) -> None:
    """An event that ends early, whatever its record says of its length."""
    payload = cells().event(**chosen)
    cut = payload[: int(part * len(payload))]
    decode(cut, len(cut))
    decode(cut, length)


@settings(SAME_EACH_TIME, max_examples=200)
@given(st.binary(max_size=600))
def test_noise(noise: bytes) -> None:
    """Any bytes, as an event, as events, and as a batch of records."""
    decode(noise, len(noise))
    decode(bytes(EVENT.size) + noise, EVENT.size + len(noise))
    batch = struct.pack("=II", len(noise), 0) + noise + bytes(EVENT.size + 8)
    for at in decoder().sums(batch, len(batch), 5).longest:
        with contextlib.suppress(UndecodableEvent):
            sane(decoder().record(batch, at))
