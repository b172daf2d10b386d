"""decode/processes.py: processes and cgroups, from records as the kernel side lays them out."""

from __future__ import annotations

import os
import platform
import random
import struct

import pytest

from perflens.decode.processes import ProcessDecoder
from perflens.errors import LayoutError
from perflens.kernel.attached import object_path, object_types
from perflens.layout import Layout, enum_labels
from perflens.model import CgroupEvent, ProcessEvent, ProcessKey

TYPES = object_types(object_path("process", platform.machine()))
PROCESS, CGROUP = TYPES.struct("process_event"), TYPES.struct("cgroup_event")
KINDS = enum_labels("process_event_kind", TYPES.enum("process_event_kind"))
NUMBERS = {label: number for number, label in KINDS.items()}


@pytest.fixture(scope="module")
def decoder() -> ProcessDecoder:
    return ProcessDecoder(PROCESS, CGROUP, KINDS)


def payload(layout: Layout, values: dict[str, int | bytes], path: bytes) -> bytes:
    own = bytearray(layout.size)
    for name, value in {"path_length": len(path), **values}.items():
        struct.pack_into(f"={layout[name].code}", own, layout[name].offset, value)
    return bytes(own) + path


def record(content: bytes) -> bytes:
    """A record of the ring, its own header before it."""
    return struct.pack("=II", len(content), 0) + content.ljust(-(-len(content) // 8) * 8, b"\0")


def process(label: str, pid: int = 7, comm: bytes = b"db", path: bytes = b"", **changed: int | bytes) -> bytes:
    values: dict[str, int | bytes] = {
        "time": 11,
        "kind": NUMBERS[label],
        "pid": pid,
        "start": 70,
        "parent": 3,
        "parent_start": 30,
        "owner": 99,
        "comm": comm,
    }
    return record(payload(PROCESS, {**values, **changed}, path))


def cgroup(label: str, path: bytes = b"/a/b", **changed: int | bytes) -> bytes:
    return record(payload(CGROUP, {"time": 12, "kind": NUMBERS[label], "hierarchy": 4, "cgroup": 88, **changed}, path))


def test_each_kind(decoder: ProcessDecoder) -> None:
    """Every field of every kind; what follows the used bytes is not looked at."""
    batch = process("fork") + process("exec", path=b"/bin/db") + cgroup("mkdir") + process("exit") + cgroup("rmdir")
    found = decoder.batch(bytearray(batch + b"rubbish" * 99), len(batch))
    key, parent = ProcessKey(7, 70), ProcessKey(3, 30)

    assert found.processes == [
        ProcessEvent("fork", 11, key, parent, "db", 99, ""),
        ProcessEvent("exec", 11, key, parent, "db", 99, "/bin/db"),
        ProcessEvent("exit", 11, key, parent, "db", 99, ""),
    ]
    assert found.cgroups == [CgroupEvent("mkdir", 12, 4, 88, ("a", "b")), CgroupEvent("rmdir", 12, 4, 88, ("a", "b"))]
    assert found.refused == []


@pytest.mark.parametrize(
    ("comm", "expected"),
    [
        (b"", ""),
        (b"fifteen letters\0", "fifteen letters"),
        (b"sixteen letters!", "sixteen letters!"),
        (b"db\0rubbish", "db"),
        (b"\xff\n", "\\xff\n"),
        ("ключ".encode(), "ключ"),
    ],
)
def test_names(decoder: ProcessDecoder, comm: bytes, expected: str) -> None:
    """A name ends at its NUL; bytes that are no UTF-8 are shown as escapes."""
    batch = process("fork", comm=comm) * 2

    assert [own.comm for own in decoder.batch(batch, len(batch)).processes] == [expected] * 2


@pytest.mark.parametrize("path", [b"/bin/\xff\xfe", "/bin/ключ".encode(), b"x" * 255, b"./a b\n"])
def test_program_paths_lead_back_to_their_bytes(decoder: ProcessDecoder, path: bytes) -> None:
    """Bytes that are no UTF-8 stay as surrogates."""
    batch = process("exec", path=path)

    assert os.fsencode(decoder.batch(batch, len(batch)).processes[0].path) == path


@pytest.mark.parametrize(("path", "expected"), [(b"", ()), (b"/", ()), (b"/a", ("a",)), (b"/a/\xff", ("a", "\udcff"))])
def test_cgroup_paths(decoder: ProcessDecoder, path: bytes, expected: tuple[str, ...]) -> None:
    """Names from the root down; none when the kernel side had no room."""
    batch = cgroup("mkdir", path=path)

    assert decoder.batch(batch, len(batch)).cgroups[0].path == expected


REFUSED = [
    process("fork", kind=5),
    process("fork", kind=2**32 - 1),
    process("exec", path_length=1),
    process("exec", path_length=2**32 - 1),
    cgroup("mkdir", path_length=5),
    record(payload(PROCESS, {"kind": NUMBERS["fork"]}, b"")[:-1]),
    record(payload(CGROUP, {"kind": NUMBERS["rmdir"]}, b"")[:-1]),
]


@pytest.mark.parametrize("bad", REFUSED)
def test_what_cannot_be_decoded_is_told_and_passed_over(decoder: ProcessDecoder, bad: bytes) -> None:
    """One bad record takes nothing with it."""
    batch = process("fork") + bad + process("exit")
    found = decoder.batch(batch, len(batch))

    assert [own.kind for own in found.processes] == ["fork", "exit"]
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"a record of {struct.unpack_from('=I', bad)[0]} bytes: ")


@pytest.mark.parametrize("kept", [1, 8, 12, 40])
def test_a_batch_that_is_cut_off(decoder: ProcessDecoder, kept: int) -> None:
    """What is left of its last record is told."""
    batch = process("fork") + process("exit")[:kept]
    found = decoder.batch(batch, len(batch))

    assert ([own.kind for own in found.processes], len(found.refused)) == (["fork"], 1)


def test_garbage(decoder: ProcessDecoder) -> None:
    """Any bytes are decoded or refused."""
    random_ = random.Random(7)
    good = process("exec", path=b"/bin/db") + cgroup("mkdir") + process("exit")
    for _ in range(3_000):
        bad = bytearray(good)
        for _ in range(random_.randrange(1, 20)):
            bad[random_.randrange(len(bad))] = random_.randrange(256)
        found = decoder.batch(bad, random_.randrange(len(bad) + 1))
        assert len(found.processes) + len(found.cgroups) + len(found.refused) <= len(bad) // 8


def test_an_object_of_another_kind_is_refused() -> None:
    """The kinds that are decoded must be those of the object."""
    with pytest.raises(LayoutError, match=r"^the object has no enum with mkdir, rmdir$"):
        ProcessDecoder(PROCESS, CGROUP, {0: "fork", 1: "exec", 2: "exit"})


def test_the_kind_is_at_one_place() -> None:
    """It tells which of the two structs a record is."""
    assert PROCESS["kind"] == CGROUP["kind"]
