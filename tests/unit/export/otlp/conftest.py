"""Evidence to make spans of, and the environment that a test begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from perflens.export.otlp.quiet import listen
from perflens.model import Evidence, FileIdentity, Owner, ProcessKey, SlowEvent, Wait

MS = 1_000_000
START, WALL = 5_000_000_000, 1_700_000_000_000_000_000

EVENT = SlowEvent(
    probe="file",
    operation="read",
    object_name="ext4",
    in_progress=False,
    start=START,
    duration=20 * MS,
    process=ProcessKey(4711, 3_000_000_000),
    parent_pid=1,
    tid=4712,
    comm="worker",
    process_name="postgres",
    owner_id=77,
    result=8_192,
    file=FileIdentity("/srv/data/base/1", True, (8, 17), 2**63 + 5),
    on_cpu=1 * MS,
    runqueue=2 * MS,
    unattributed=0,
    blocked={"io": 12 * MS, "lock": 5 * MS},
    waits=(Wait(START + MS, START + 13 * MS, START + 14 * MS, "io"), Wait(START + 14 * MS, START + 19 * MS, START + 20 * MS, "lock")),
    waits_seen=2,
    kernel_stack=(),
    user_stack=(),
)
OWNER = Owner(77, "/system.slice/postgresql.service", "postgresql.service")


def evidence(**changes: Any) -> Evidence:
    """A read of 20 ms with two waits; ``changes`` are of its event."""
    return Evidence(replace(EVENT, **changes), OWNER, "", WALL, ("io_schedule+0x46", "ext4_file_read+0x8 [ext4]"), ("pread+0x1a",))


@pytest.fixture
def make() -> Callable[..., Evidence]:
    """Make evidence."""
    return evidence


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine's own; the libraries stay quiet, as their threads may outlive a test."""
    for name in os.environ:
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    listen()
