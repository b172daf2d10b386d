"""export/otlp/attributes.py: what a span says of its operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from perflens.export.otlp.attributes import BootClock, of_operation, of_wait
from perflens.model import Evidence, FileIdentity, Wait

CLOCK = BootClock(1_700_000_000_000_000_000)
MS = 1_000_000


def test_read(make: Callable[..., Evidence]) -> None:
    """A read of a regular file, whole."""
    assert of_operation(make(), CLOCK) == {
        "process.pid": 4711,
        "process.parent_pid": 1,
        "process.executable.name": "postgres",
        "process.creation.time": "2023-11-14T22:13:23.000Z",
        "process.linux.cgroup": "/system.slice/postgresql.service",
        "thread.id": 4712,
        "thread.name": "worker",
        "system.device": "8:17",
        "disk.io.direction": "read",
        "code.stacktrace": "io_schedule+0x46\next4_file_read+0x8 [ext4]\npread+0x1a",
        "perflens.probe": "file",
        "perflens.operation": "read",
        "perflens.owner": "postgresql.service",
        "perflens.fs": "ext4",
        "perflens.file.path": "/srv/data/base/1",
        "perflens.file.path.complete": True,
        "perflens.file.inode": str(2**63 + 5),
        "perflens.bytes": 8_192,
        "perflens.on_cpu": 0.001,
        "perflens.runqueue": 0.002,
        "perflens.unattributed": 0.0,
        "perflens.blocked.io": 0.012,
        "perflens.blocked.lock": 0.005,
        "perflens.waits": 2,
    }


def test_unknown(make: Callable[..., Evidence]) -> None:
    """What is not known is left out."""
    bare = make(operation="fsync", object_name="", file=FileIdentity("", False, (0, 0), 0), blocked={}, result=0)
    found = of_operation(replace(bare, kernel_stack=(), user_stack=()), CLOCK)
    gone = {"system.device", "disk.io.direction", "code.stacktrace", "container.id", "error.type", "perflens.fs", "perflens.file.path"}
    assert not gone & set(found)
    assert found["perflens.bytes"] == 0


@pytest.mark.parametrize(("result", "expected"), [(-5, "EIO"), (-4, "EINTR"), (-4095, "4095")])
def test_error(make: Callable[..., Evidence], result: int, expected: str) -> None:
    """An error has its name, and no bytes."""
    found = of_operation(make(result=result), CLOCK)
    assert found["error.type"] == expected
    assert "perflens.bytes" not in found


def test_block(make: Callable[..., Evidence]) -> None:
    """A block request's object is its device."""
    found = of_operation(make(probe="block", operation="write", object_name="nvme0n1"), CLOCK)
    assert (found["system.device"], found["disk.io.direction"]) == ("nvme0n1", "write")
    assert "perflens.fs" not in found


def test_hostile(make: Callable[..., Evidence]) -> None:
    """Names that anybody can choose are escaped and bounded."""
    file = FileIdentity("/" + "\udcff" * 5_000, False, (8, 1), 1)
    found = of_operation(replace(make(comm="\x1b[2J\udc80", process_name="n" * 99, file=file), container_id="c\n"), CLOCK)
    assert (found["thread.name"], found["container.id"]) == (r"\x1b[2J\x80", r"c\x0a")
    assert len(str(found["process.executable.name"])) == 16
    assert len(str(found["perflens.file.path"])) == 4_096
    assert all(str(value).encode() for value in found.values())


def test_wait() -> None:
    """A wait says how long it slept and how long it queued for a CPU."""
    assert of_wait(Wait(10 * MS, 14 * MS, 15 * MS, "io")) == {
        "perflens.wait.reason": "io",
        "perflens.wait.blocked": 0.004,
        "perflens.wait.runqueue": 0.001,
    }
