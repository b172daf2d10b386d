"""decode/sums.py: the sums over all events of a batch."""

from __future__ import annotations

import platform
import random
import struct
from collections import Counter

import pytest

from perflens.decode.events import EventDecoder, EventLayouts
from perflens.kernel.attached import object_path, object_types
from perflens.layout import enum_labels
from perflens.model import ProcessKey
from tests.evidence import SECOND

NOW = 1_000 * SECOND
MS = 10**6
TYPES = object_types(object_path("file", platform.machine()))
EVENT = TYPES.struct("event")


@pytest.fixture(scope="module")
def decoder() -> EventDecoder:
    reasons = tuple(enum_labels("wait_reason", TYPES.enum("wait_reason"), exclude=frozenset({"WAIT_REASONS"})).values())
    kinds = enum_labels("event_kind", TYPES.enum("event_kind"))
    layouts = EventLayouts(EVENT, TYPES.struct("wait_interval"), TYPES.struct("event_frame"), TYPES.struct("request_note"))
    return EventDecoder("file", layouts, {0: "read", 1: "write"}, reasons, kinds)


def event(pid: int, duration: int, end: int = NOW, operation: int = 0, name: bytes = b"db", tail: bytes = b"") -> bytes:
    """A record of the ring, its own header before it."""
    values = {"start": end - duration, "duration": duration, "process_start": 7 * pid, "pid": pid, "operation": operation}
    payload = bytearray(EVENT.size)
    for field, value in values.items():
        struct.pack_into(f"={EVENT[field].code}", payload, EVENT[field].offset, value)
    struct.pack_into("=16s", payload, EVENT["process_name"].offset, name)
    return record(bytes(payload) + tail)


def record(payload: bytes) -> bytes:
    return struct.pack("=II", len(payload), 0) + payload.ljust(-(-len(payload) // 8) * 8, b"\0")


def test_one_sum_for_a_process_an_operation_and_a_second(decoder: EventDecoder) -> None:
    """Events of different lengths; of each sum the longest event is told, and where it lies."""
    parts = [
        event(1, 5 * MS, tail=b"xyz"),
        event(1, 9 * MS, end=NOW + 1, name=b"web"),
        event(2, 7 * MS),
        event(1, 1 * MS, operation=1),
        event(1, 2 * MS, end=NOW + SECOND),
        event(1, 3 * MS),
    ]
    batch = b"".join(parts)
    found = decoder.sums(batch + b"rubbish" * 99, len(batch), 6)

    assert [own[0:8] for own in found.sums] == [
        (ProcessKey(1, 7), "web", 0, 1_000, 3, 17 * MS, 9 * MS, NOW + 1),
        (ProcessKey(2, 14), "db", 0, 1_000, 1, 7 * MS, 7 * MS, NOW),
        (ProcessKey(1, 7), "db", 1, 1_000, 1, 1 * MS, 1 * MS, NOW),
        (ProcessKey(1, 7), "db", 0, 1_001, 1, 2 * MS, 2 * MS, NOW + SECOND),
    ]
    assert found.sums[0].at == len(parts[0])
    assert decoder.record(batch, found.sums[1].at).process == ProcessKey(2, 14)
    assert [decoder.record(batch, at).duration // MS for at in found.longest] == [9, 7, 5, 3, 2, 1]
    assert found.refused == []


@pytest.mark.parametrize("most", [0, 1, 10, 300, 2_000])
def test_the_longest_of_thousands(decoder: EventDecoder, most: int) -> None:
    """Whatever the order: the sums miss none, and no event is longer than those that are called the longest."""
    chance = random.Random(most)
    durations = [chance.randrange(10**9) for _ in range(1_500)]
    batch = b"".join(event(chance.randrange(5), duration) for duration in durations)
    found = decoder.sums(batch, len(batch), most)

    assert sum(own.events for own in found.sums) == 1_500
    assert sum(own.total for own in found.sums) == sum(durations)
    assert [decoder.record(batch, at).duration for at in found.longest] == sorted(durations, reverse=True)[:most]


def test_equal_durations_are_all_counted(decoder: EventDecoder) -> None:
    batch = event(1, MS) * 1_000
    found = decoder.sums(batch, len(batch), 100)

    assert [(own.events, own.total) for own in found.sums] == [(1_000, 1_000 * MS)]
    assert len(set(found.longest)) == 100


@pytest.mark.parametrize("bad", [b"", b"1234567", bytes(EVENT.size - 1)], ids=["empty", "short", "a byte too short"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_that_is_too_short_costs_itself_alone(decoder: EventDecoder, bad: bytes, place: int) -> None:
    parts = [event(1, MS), event(2, MS)]
    parts.insert(place, record(bad))
    batch = b"".join(parts)
    found = decoder.sums(batch, len(batch), 10)

    assert found.refused == [f"a record of {len(bad)} bytes"]
    assert sorted(own.process.pid for own in found.sums) == [1, 2]
    assert len(found.longest) == 2


def test_any_batch_at_all_is_read_to_its_end(decoder: EventDecoder) -> None:
    """Random bytes raise nothing, and what is summed lies inside."""
    chance, outcomes = random.Random(5), Counter[str]()
    for _ in range(500):
        batch = bytearray(chance.randbytes(chance.randrange(4_000)))
        for at in range(0, len(batch) - 8, 400):
            struct.pack_into("=II", batch, at, chance.choice([0, 200, 392, 5_000]), 0)
        found = decoder.sums(batch, len(batch), 3)
        assert all(0 <= own.at <= len(batch) - EVENT.size - 8 for own in found.sums)
        outcomes.update(sums=len(found.sums), refused=len(found.refused))
    assert outcomes["sums"]
    assert outcomes["refused"]
