"""Evidence for tests, each field of which a test may choose."""

from __future__ import annotations

from typing import Any

from perflens.model import Evidence, FileIdentity, Owner, ProcessKey, SlowEvent, UserFrame, Wait

__all__ = ["SECOND", "evidence", "slow_event"]

SECOND = 10**9
_WALL_OFFSET = 1_700_000_000 * SECOND


def slow_event(**chosen: Any) -> SlowEvent:
    """A slow read of 10 ms that ended; ``pid`` and ``end`` may stand for the process and the start."""
    duration = chosen.get("duration", 10_000_000)
    pid, end = chosen.pop("pid", 100), chosen.pop("end", 1_000 * SECOND)
    values: dict[str, Any] = {
        "probe": "file",
        "operation": "read",
        "object_name": "ext4",
        "in_progress": False,
        "start": end - duration,
        "duration": duration,
        "process": ProcessKey(pid, pid * SECOND),
        "parent_pid": 1,
        "tid": pid + 1,
        "comm": "worker",
        "process_name": "db",
        "owner_id": 7,
        "result": 4_096,
        "file": FileIdentity("/data/table", True, (8, 1), 42),
        "on_cpu": 1_000_000,
        "runqueue": 2_000_000,
        "unattributed": 0,
        "blocked": {"io": duration - 3_000_000},
        "waits": (Wait(end - duration, end - 3_000_000, end - 1_000_000, "io"),),
        "waits_seen": 1,
        "kernel_stack": (0xFFFF_FFFF_8100_0000,),
        "user_stack": (UserFrame(b"\1" * 20, 0x1234),),
    }
    return SlowEvent(**{**values, **chosen})


def evidence(
    kernel: tuple[str, ...] = ("io_schedule+0x1a", "folio_wait+0x2"), user: tuple[str, ...] = ("read+0xd [libc.so.6]",), **chosen: Any
) -> Evidence:
    """What is known of a slow read."""
    unit = chosen.pop("unit", "a.service")
    event = slow_event(**chosen)
    owner = Owner(event.owner_id, f"/system.slice/{unit}", unit)
    return Evidence(event, owner, "", event.start + _WALL_OFFSET, kernel, user)
