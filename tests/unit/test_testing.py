"""testing.py: the fakes do what the kernel side does."""

from __future__ import annotations

import os
import struct
import time

import pytest

from perflens.aggregate.family import Family
from perflens.decode.cells import cell_info_decoder
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import CellInfo, SeriesKey, UserFrame, Wait, bucket_bounds
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

TYPES = object_types(object_path("file", inspect().machine))
DECODE = cell_info_decoder(TYPES.struct("cell_info"))
EVENT = TYPES.struct("event")
COUNTS = (
    "noted",
    "waits",
    "waits_seen",
    "kernel_frames",
    "user_frames",
    "program_length",
    "program_complete",
    "path_length",
    "path_complete",
)


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("file", PROBE, cells=10)


def noted(cells: FakeCells, *path: str, complete: bool = True) -> CellInfo:
    return DECODE(cells.info(cells.record(77, "ext4", 0, 1, path=path, complete=complete)))


def test_same_key_has_one_cell(cells: FakeCells) -> None:
    """Owner, object and operation decide; the path does not."""
    first = cells.record(7, "ext4", 0, 1, path=("a",))

    assert cells.record(7, "ext4", 0, 2, path=("b",)) == first
    assert cells.record(7, "ext4", 1, 1) != first


def test_other_cell_when_all_are_taken(cells: FakeCells) -> None:
    """Without a free cell the operation's `other` cell is used, and counted."""
    taken = [cells.record(owner, "ext4", 3, 1) for owner in (1, 2, 3, 4)]

    assert taken == [8, 9, 3, 3]
    assert cells.counters()["no_cell"] == 2
    assert cells.counters()["entered"] == 4


@pytest.mark.parametrize(
    ("path", "complete", "expected"),
    [
        ((), True, ((), True)),
        (("a", "b"), True, (("a", "b"), True)),
        (("a", "b"), False, ((), False)),
        (("root", *["x" * 250] * 2), True, (("x" * 250,) * 2, True)),
        (("root", *["x" * 254] * 2), True, (("x" * 254,) * 2, False)),
        (("x" * 300,), True, (("x" * 255,), True)),
        (tuple(map(str, range(23))), True, (tuple(map(str, range(23))), True)),
        (tuple(map(str, range(24))), True, (tuple(map(str, range(24))), False)),
        (tuple(map(str, range(30))), True, (tuple(map(str, range(6, 30))), False)),
    ],
)
def test_path(cells: FakeCells, path: tuple[str, ...], complete: bool, expected: tuple[tuple[str, ...], bool]) -> None:
    """Paths are noted leaf first, and lose their root end when they are too long or too deep."""
    found = noted(cells, *path, complete=complete)
    if path[:1] == ("root",) and found.complete:
        found = CellInfo(found.object_name, found.path[1:], True)

    assert (found.path, found.complete) == expected


def test_what_is_too_long_is_counted(cells: FakeCells) -> None:
    """Each operation above the last bound, and each path that was cut, is in the ledger."""
    cells.record(7, "ext4", 0, bucket_bounds()[-1])
    assert cells.counters()["overlong"] == 0
    cells.record(7, "ext4", 0, bucket_bounds()[-1] + 1)
    cells.record(8, "ext4", 0, 1, path=["x"] * 40)

    assert cells.counters()["overlong"] == 1
    assert cells.counters()["name_truncated"] == 1


def test_wait_and_begin(cells: FakeCells) -> None:
    """Time off the CPU goes to its reason, and an operation in flight to the slot of its thread."""
    cell = cells.record(77, "ext4", 1, 1)
    cells.wait(cell, "journal", 3)
    cells.wait(cell, "journal", 4)
    now = time.monotonic_ns()
    cells.begin(os.getpid(), 77, 1, now - 10**9)
    family = Family(cells, lambda *_: SeriesKey("write", "ext4", "a"), limit=10, has_owner=True)
    family.harvest()
    reading = cells.slots.read(10**6)

    assert family.slow.total(2 + cells.wait_reasons.index("journal")) == 7
    assert reading.in_flight == 1
    assert [(own.tid, own.owner, own.operation, own.start) for own in reading.old] == [(os.getpid(), 77, 1, now - 10**9)]


def test_begin_does_what_the_slots_do(cells: FakeCells) -> None:
    """A thread that begins again has lost an operation; one whose slot is taken goes beside the slots."""
    for tid in (1, 1, 1 + 64, 2):
        cells.begin(tid, 77, 0, time.monotonic_ns())
    counted = cells.counters()

    assert cells.slots.read()[:2] == (3, 2)
    assert {name: number for name, number in counted.items() if number} == {
        "entered": 1,
        "died": 1,
        "slot_collision": 1,
        "overflow_entered": 1,
    }


def drained(cells: FakeCells) -> list[bytes]:
    """Every record in the ring, as it was put there."""
    batch, used, records, left = cells.ring.drain()
    found, at = [], 0
    while at < used:
        length, flags = struct.unpack_from("=II", batch, at)
        assert flags == 0
        found.append(bytes(batch[at + 8 : at + 8 + length]))
        at += 8 + -(-length // 8) * 8
    assert (len(found), left) == (records, 0)
    return found


def test_event_without_parts(cells: FakeCells) -> None:
    """Members are written where the object has them, numbers and names, and all others are 0."""
    found = cells.event(pid=7, result=-5, comm="worker", object=b"ext4")
    expected = bytearray(EVENT.size)
    struct.pack_into("=I", expected, EVENT["pid"].offset, 7)
    struct.pack_into("=q", expected, EVENT["result"].offset, -5)
    struct.pack_into("=6s", expected, EVENT["comm"].offset, b"worker")
    struct.pack_into("=4s", expected, EVENT["object"].offset, b"ext4")

    assert found == expected


def test_event_with_every_part(cells: FakeCells) -> None:
    """Behind the members: time asleep by reason, waits, both stacks, the paths of the program and of the file, leaf first."""
    number = cells.wait_reasons.index
    found = cells.event(
        blocked={"journal": 5, "unclassified": 1},
        waits=[Wait(1, 2, 3, "runqueue")],
        kernel_stack=[10, 2**64 - 1],
        user_stack=[UserFrame(b"\1" * 20, 4), None, UserFrame(b"", 5)],
        program=("usr", "bin"),
        path=("é",),
    )
    asleep = [0] * number("runqueue")
    asleep[0], asleep[number("journal")] = 1, 5
    parts = struct.pack(f"={len(asleep)}Q", *asleep) + struct.pack("=4Q", 1, 2, 3, number("runqueue")) + struct.pack("=2Q", 10, 2**64 - 1)
    parts += struct.pack("=i20sQ", 1, b"\1" * 20, 4) + bytes(32) + struct.pack("=i20xQ", 2, 5) + b"bin\0usr\0" + b"\xc3\xa9\0"

    assert found[EVENT.size :] == parts
    assert [EVENT.unpacker(name).unpack_from(found)[0] for name in COUNTS] == [1, 1, 1, 2, 3, 8, 1, 3, 1]


def test_members_may_lie(cells: FakeCells) -> None:
    """A test of damage chooses what a part's count says."""
    found = cells.event(kernel_stack=[1], kernel_frames=100, path=("a", "b"), path_complete=0)

    assert [EVENT.unpacker(name).unpack_from(found)[0] for name in COUNTS] == [0, 0, 0, 100, 0, 0, 0, 4, 0]


def test_emit_through_many_laps(cells: FakeCells) -> None:
    """What is emitted is drained, in order, across the end of the ring, and counted."""
    for lap in range(60):
        records = [bytes([lap]) * (lap * 37 + own) for own in range(3)]
        assert [cells.emit(record) for record in records] == [True] * 3
        assert cells.ring.has_data
        assert drained(cells) == records
        assert not cells.ring.has_data

    assert cells.events() == {"emitted": 180, "suppressed": 0, "ring_full": 0, "buffer_busy": 0}


def test_emit_into_a_full_ring(cells: FakeCells) -> None:
    """A record that finds no room is refused and counted; once there is room again, records are taken."""
    taken = [cells.emit(bytes(1016)) for _ in range(65)]

    assert taken == [True] * 63 + [False] * 2
    assert cells.events() == {"emitted": 63, "suppressed": 0, "ring_full": 2, "buffer_busy": 0}
    assert drained(cells) == [bytes(1016)] * 63
    assert cells.emit(b"x")
    assert drained(cells) == [b"x"]
