"""decode/events.py: one event, from what the kernel side writes to a SlowEvent."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from perflens.decode.events import EventDecoder, EventLayouts
from perflens.decode.sums import UndecodableEvent
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.layout import enum_labels
from perflens.model import BlockRequest, FileIdentity, ProcessKey, SlowEvent, UserFrame, Wait
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

TYPES = object_types(object_path("file", inspect().machine))
EVENT, FRAME = TYPES.struct("event"), TYPES.struct("event_frame")
IN_PROGRESS = TYPES.enum("event_kind")["EVENT_IN_PROGRESS"]
PARTS: dict[str, Any] = {
    "blocked": {"journal": 50, "block_io": 7},
    "waits": [Wait(1_000, 1_040, 1_049, "journal"), Wait(1_050, 1_051, 1_070, "runqueue")],
    "requests": [
        BlockRequest("read", (8, 16), 2**63, 4_096, 1_010, 1, 2, 3, 0),
        BlockRequest("flush", (259, 2**20 - 1), 0, 0, 1_020, 2**63, 0, 2**64 - 1, 5),
    ],
    "kernel_stack": [0xFFFF_FFFF_8100_0000, 2**64 - 1],
    "user_stack": [UserFrame(bytes(range(20)), 0x1234), UserFrame(b"", 0x7FFF_0000_1234)],
    "program": ("usr", "bin", "db"),
    "path": ("var", "lib", "table"),
}
WHOLE: dict[str, Any] = PARTS | {
    "kind": 0,
    "operation": 1,
    "start": 1_000,
    "duration": 100,
    "process_start": 2**63,
    "pid": 77,
    "tid": 78,
    "parent": 1,
    "owner": 2**64 - 1,
    "result": -5,
    "inode": 2**64 - 2,
    "device": 259 << 20 | 7,
    "runqueue": 20,
    "unattributed": 3,
    "unclassified": 4,
    "waits_seen": 9,
    "requests_seen": 11,
    "comm": "worker/3",
    "process_name": "db",
    "object": "ext4",
}


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("file", PROBE)


@pytest.fixture
def decoder(cells: FakeCells) -> EventDecoder:
    layouts = EventLayouts(EVENT, TYPES.struct("wait_interval"), FRAME, TYPES.struct("request_note"))
    kinds, requests = (enum_labels(name, TYPES.enum(name)) for name in ("event_kind", PROBE.requests))
    return EventDecoder("file", layouts, cells.operations, cells.wait_reasons, kinds, requests)


@pytest.fixture
def decoded(cells: FakeCells, decoder: EventDecoder) -> Any:
    """Decode an event of these members, through the ring."""

    def through_the_ring(**chosen: Any) -> SlowEvent:
        assert cells.emit(cells.event(**chosen))
        batch, used, records, left = cells.ring.drain()
        assert (records, left) == (1, 0)
        assert decoder.sums(batch, used, 1).longest == [0]
        return decoder.record(batch, 0)

    return through_the_ring


def test_every_field(decoded: Any) -> None:
    """What the kernel side wrote is what the event says, in every field, to the last bit."""
    assert decoded(**WHOLE) == SlowEvent(
        probe="file",
        operation="write",
        object_name="ext4",
        in_progress=False,
        start=1_000,
        duration=100,
        process=ProcessKey(77, 2**63),
        parent_pid=1,
        tid=78,
        comm="worker/3",
        process_name="db",
        owner_id=2**64 - 1,
        result=-5,
        file=FileIdentity("/var/lib/table", True, (259, 7), 2**64 - 2),
        on_cpu=16,
        runqueue=20,
        unattributed=3,
        blocked={"journal": 50, "block_io": 7, "unclassified": 4},
        waits=(Wait(1_000, 1_040, 1_049, "journal"), Wait(1_050, 1_051, 1_070, "runqueue")),
        waits_seen=9,
        kernel_stack=(0xFFFF_FFFF_8100_0000, 2**64 - 1),
        user_stack=(UserFrame(bytes(range(20)), 0x1234), UserFrame(b"", 0x7FFF_0000_1234)),
        program="/usr/bin/db",
        requests=(
            BlockRequest("read", (8, 16), 2**63, 4_096, 1_010, 1, 2, 3, 0),
            BlockRequest("flush", (259, 2**20 - 1), 0, 0, 1_020, 2**63, 0, 2**64 - 1, 5),
        ),
        requests_seen=11,
    )


def test_bare_event(decoded: Any) -> None:
    """An event of no part, as of a thread that never slept, on a file that is not known, in a kernel thread."""
    found = decoded(duration=9)

    assert (found.blocked, found.waits, found.kernel_stack, found.user_stack) == ({}, (), (), ())
    assert (found.object_name, found.comm, found.process_name, found.program) == ("unknown", "", "", "")
    assert (found.file, found.on_cpu) == (FileIdentity("", False, (0, 0), 0), 9)


@pytest.mark.parametrize("missing", sorted(PARTS))
def test_each_part_may_be_missing(decoded: Any, missing: str) -> None:
    """Parts follow each other: none of them moves the others when it is not there."""
    whole = decoded(**WHOLE)
    found = decoded(**{name: value for name, value in WHOLE.items() if name != missing})
    names = {
        "blocked": ["blocked", "on_cpu"],
        "waits": ["waits"],
        "requests": ["requests"],
        "kernel_stack": ["kernel_stack"],
        "user_stack": ["user_stack"],
        "program": ["program"],
        "path": ["file"],
    }

    changed = [name for name in SlowEvent.__slots__ if getattr(found, name) != getattr(whole, name)]
    assert sorted(changed) == sorted(names[missing])


@pytest.mark.parametrize("extra", [1, 7, 8, 4096])
def test_bytes_behind_an_event(cells: FakeCells, decoder: EventDecoder, extra: int) -> None:
    """A record that is longer than its parts is read as far as they go."""
    payload = cells.event(**WHOLE)

    assert decoder.whole(payload + b"\xff" * extra, 0, len(payload) + extra) == decoder.whole(payload, 0, len(payload))


@pytest.mark.parametrize("duration", [161, 162, 10**15])
def test_times_sum_up_to_the_duration(decoded: Any, duration: int) -> None:
    """What is left of the duration was on the CPU, to the nanosecond, down to none."""
    blocked = {"journal": 40, "unclassified": 3, "cgroup_throttle": 100}
    found = decoded(duration=duration, runqueue=7, unattributed=6, unclassified=5, blocked=blocked)

    assert found.blocked == {"journal": 40, "unclassified": 8, "cgroup_throttle": 100}
    assert found.on_cpu == duration - 161
    assert found.duration == found.on_cpu + found.runqueue + found.unattributed + sum(found.blocked.values()) == duration


@pytest.mark.parametrize("member", ["runqueue", "unattributed", "unclassified"])
@pytest.mark.parametrize("ns", [11, 2**64 - 3])
def test_times_beyond_the_duration(decoded: Any, member: str, ns: int) -> None:
    """An operation that was off the CPU for longer than it lasted is not one: no number of it can be believed."""
    assert decoded(duration=10, **{member: 10}).on_cpu == 0
    with pytest.raises(UndecodableEvent, match=rf"^a record of \d+ bytes: off the CPU for {ns} ns of 10$"):
        decoded(duration=10, **{member: ns})


def test_every_reason(cells: FakeCells, decoded: Any) -> None:
    """Each reason of a sleep is told by its own name; those without time are left out."""
    asleep = cells.wait_reasons[: cells.wait_reasons.index("runqueue")]
    times = {reason: 1 << number for number, reason in enumerate(asleep)}
    waits = [Wait(n, n, n, reason) for n, reason in enumerate(cells.wait_reasons)]
    found = decoded(duration=1 << 20, blocked=times, waits=waits)

    assert dict(found.blocked) == times
    assert [wait.reason for wait in found.waits] == list(cells.wait_reasons)
    assert decoded(blocked=dict.fromkeys(asleep, 0)).blocked == {}


def in_progress(cells: FakeCells, reason: str, **chosen: Any) -> dict[str, Any]:
    return WHOLE | {"kind": IN_PROGRESS, "duration": 1_000, "waiting": 500, "waiting_reason": cells.wait_reasons.index(reason)} | chosen


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("block_io", {"journal": 50, "block_io": 507, "unclassified": 4}),
        ("unclassified", {"journal": 50, "block_io": 7, "unclassified": 504}),
        ("futex", {"journal": 50, "block_io": 7, "unclassified": 4, "futex": 500}),
    ],
)
def test_sleep_that_goes_on(cells: FakeCells, decoded: Any, reason: str, expected: dict[str, int]) -> None:
    """The sleep of an operation in progress is charged to the reason of its stack; the sum stays the duration."""
    found = decoded(**in_progress(cells, reason))

    assert found.in_progress
    assert found.blocked == expected
    assert (found.runqueue, found.on_cpu) == (20, 1_000 - 20 - 3 - 561)


def test_wait_for_a_cpu_that_goes_on(cells: FakeCells, decoded: Any) -> None:
    """A thread that was woken and waits for a CPU is in the run queue."""
    found = decoded(**in_progress(cells, "runqueue"))

    assert (found.blocked, found.runqueue) == ({"journal": 50, "block_io": 7, "unclassified": 4}, 520)
    assert found.duration == found.on_cpu + 520 + 3 + 61 == 1_000


def test_operation_that_went_on_while_it_was_read(cells: FakeCells, decoded: Any) -> None:
    """Its clock was read before its times were: it has lasted at least as long as they say."""
    found = decoded(**in_progress(cells, "futex", duration=580))

    assert (found.duration, found.on_cpu) == (584, 0)
    assert found.duration == found.runqueue + found.unattributed + sum(found.blocked.values())


@pytest.mark.parametrize("result", [0, 4_096, -1, -4_095, 2**63 - 1, -(2**63)])
def test_result(decoded: Any, result: int) -> None:
    """What the call returned keeps its sign."""
    assert decoded(result=result).result == result


@pytest.mark.parametrize(
    ("device", "expected"),
    [(0, (0, 0)), (8 << 20 | 1, (8, 1)), (253 << 20 | (1 << 20) - 1, (253, 2**20 - 1)), (2**32 - 1, (4095, 2**20 - 1))],
)
def test_device(decoded: Any, device: int, expected: tuple[int, int]) -> None:
    """Major and minor as the kernel keeps them: twelve bits and twenty."""
    assert decoded(device=device).file.device == expected


@pytest.mark.parametrize(
    ("names", "complete", "path"),
    [
        (None, 0, ""),
        ((), 1, "/"),
        (("a",), 1, "/a"),
        (("a", "b", "c"), 1, "/a/b/c"),
        (("b", "c"), 0, "…/b/c"),
        (("c",), 0, "…/c"),
        (("", "a"), 1, "//a"),
        (("ä ö", "日本", "\n\t"), 1, "/ä ö/日本/\n\t"),
        (("a\udcff", "\udce6\udc97"), 1, "/a\udcff/\udce6\udc97"),
        (tuple("x" * 31 for _ in range(32)), 1, f"/{'x' * 31}" * 32),
        (tuple("y" * 255 for _ in range(4)), 0, "…" + f"/{'y' * 255}" * 4),
        (("z" * 4_095,), 1, "/" + "z" * 4_095),
    ],
)
def test_path(decoded: Any, names: tuple[str, ...] | None, complete: int, path: str) -> None:
    """From the root when it is whole, else from an ellipsis; bytes that are no UTF-8 lead to the file still."""
    found = decoded(path=names, path_complete=complete).file

    assert (found.path, found.complete) == (path, bool(complete))


@pytest.mark.parametrize(
    ("names", "complete", "program"),
    [(None, 0, ""), (("usr", "bin", "db"), 1, "/usr/bin/db"), (("bin", "db"), 0, ""), (("bin", "\udcff"), 1, "/bin/\udcff")],
)
def test_program(decoded: Any, names: tuple[str, ...] | None, complete: int, program: str) -> None:
    """A program is told by its whole path or not at all; that of the file beside it stays."""
    found = decoded(program=names, program_complete=complete, path=("data",))

    assert (found.program, found.file.path) == (program, "/data")


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"sixteen bytes  !", "sixteen bytes  !"), (b"a\0rest", "a"), (b"\xff\xfe", "\\xff\\xfe"), (b"\xc3\xa9t\xc3", "ét\\xc3"), (b"", "")],
)
def test_names(decoded: Any, raw: bytes, text: str) -> None:
    """Names end at the NUL or at their last byte; bytes that are no UTF-8 are written out."""
    found = decoded(comm=raw, process_name=raw, object=raw)

    assert (found.comm, found.process_name, found.object_name) == (text, text, text or "unknown")


def test_user_frames(cells: FakeCells, decoder: EventDecoder) -> None:
    """A frame has a build-id and an offset in that file, or an address, or is left out; nothing moves the ones behind it."""
    own = [UserFrame(b"\1" * 20, 7), None, UserFrame(b"", 2**47), UserFrame(b"\2" * 20, 2**64 - 1), None]
    payload = cells.event(user_stack=own, path=("a",))

    assert decoder.whole(payload, 0, len(payload)).user_stack == (own[0], own[2], own[3])
    assert decoder.whole(payload, 0, len(payload)).file.path == "/a"


@pytest.mark.parametrize("status", [-1, 0, 3, 2**31 - 1])
def test_user_frame_of_a_status_that_is_not_known(cells: FakeCells, decoder: EventDecoder, status: int) -> None:
    """A frame that is neither by build-id nor by address says nothing."""
    payload = bytearray(cells.event(user_stack=[UserFrame(b"\1" * 20, 7), UserFrame(b"\2" * 20, 8)]))
    struct.pack_into("=i", payload, EVENT.size + FRAME["status"].offset, status)

    assert decoder.whole(payload, 0, len(payload)).user_stack == (UserFrame(b"\2" * 20, 8),)


def test_more_stacks_than_are_kept(cells: FakeCells, decoder: EventDecoder) -> None:
    """A stack that came before is the same one; none is taken for another, whatever was forgotten meanwhile."""
    payloads = [cells.event(user_stack=[UserFrame(b"\1" * 20, number)] * 3) for number in range(600)]
    for _ in range(2):
        for number, payload in enumerate(payloads):
            assert decoder.whole(payload, 0, len(payload)).user_stack == (UserFrame(b"\1" * 20, number),) * 3


def test_deep_stacks(decoded: Any) -> None:
    """As many frames as the settings allow."""
    kernel, user = list(range(127)), [UserFrame(b"\3" * 20, number) for number in range(127)]
    found = decoded(kernel_stack=kernel, user_stack=user, path=("a",))

    assert (found.kernel_stack, found.user_stack, found.file.path) == (tuple(kernel), tuple(user), "/a")


def test_several(cells: FakeCells, decoder: EventDecoder) -> None:
    """Events that follow each other as they are, of any length."""
    payloads = [
        cells.event(kind=IN_PROGRESS, duration=number, path=("x" * number,), kernel_stack=range(number), waits=[Wait(1, 2, 3, "lock")])
        for number in (1, 2, 30)
    ]

    assert [(event.duration, event.file.path) for event in decoder.several(b"".join(payloads))] == [
        (number, "/" + "x" * number) for number in (1, 2, 30)
    ]
    assert list(decoder.several(b"")) == []


def test_several_of_which_the_last_is_cut(cells: FakeCells, decoder: EventDecoder) -> None:
    """What is whole is told before the rest is refused, wherever it was cut."""
    first, last = cells.event(duration=5, path=("first",)), cells.event(**WHOLE)
    for cut in (1, EVENT.size - 1, EVENT.size, EVENT.size + 1, len(last) - 1):
        found = decoder.several(first + last[:cut])
        assert next(found).file.path == "/first"
        with pytest.raises(UndecodableEvent, match="a record of"):
            next(found)


def test_cut_records(cells: FakeCells, decoder: EventDecoder) -> None:
    """A record that is shorter than its parts is refused at every length, by its own length and by the batch's end."""
    payload = cells.event(**WHOLE)
    for length in range(len(payload)):
        with pytest.raises(UndecodableEvent, match=f"^a record of {length} bytes: "):
            decoder.whole(payload, 0, length)
        with pytest.raises(UndecodableEvent, match=f"^a record of {len(payload)} bytes: "):
            decoder.whole(payload[:length], 0, len(payload))


@pytest.mark.parametrize(
    ("member", "number"),
    [
        ("operation", 5),
        ("operation", 2**16 - 1),
        ("kind", 2),
        ("kind", 2**16 - 1),
        ("waiting_reason", 17),
        ("waiting_reason", 18),
        ("waiting_reason", 2**32 - 1),
        ("waits", 3),
        ("requests", 3),
        ("requests", 2**16 - 1),
        ("kernel_frames", 2**16 - 1),
        ("user_frames", 2**16 - 1),
        ("program_length", 2**16 - 1),
        ("path_length", 19),
    ],
)
def test_numbers_that_are_not_known(cells: FakeCells, decoder: EventDecoder, member: str, number: int) -> None:
    """An operation, a kind, a reason or a length that cannot be is refused."""
    payload = bytearray(cells.event(**WHOLE))
    struct.pack_into(f"={EVENT[member].code}", payload, EVENT[member].offset, number)
    with pytest.raises(UndecodableEvent):
        decoder.whole(payload, 0, len(payload))


@pytest.mark.parametrize("operation", [5, 2**16 - 1])
def test_request_of_an_operation_that_is_not_known(cells: FakeCells, decoder: EventDecoder, operation: int) -> None:
    """A request of no known operation is refused."""
    payload, note = bytearray(cells.event(requests=[BlockRequest("read", (8, 0), 0, 0, 1, 0, 0, 1, 0)])), TYPES.struct("request_note")
    struct.pack_into("=H", payload, EVENT.size + note["operation"].offset, operation)
    with pytest.raises(UndecodableEvent):
        decoder.whole(payload, 0, len(payload))


@pytest.mark.parametrize("reason", [18, 2**63, 2**64 - 1])
def test_wait_of_a_reason_that_is_not_known(cells: FakeCells, decoder: EventDecoder, reason: int) -> None:
    """A wait of no known reason is refused, however large its number."""
    payload = bytearray(cells.event(waits=[Wait(1, 2, 3, "lock")]))
    interval = TYPES.struct("wait_interval")
    struct.pack_into("=Q", payload, EVENT.size + interval["reason"].offset, reason)
    with pytest.raises(UndecodableEvent, match="IndexError"):
        decoder.whole(payload, 0, len(payload))
