"""Answers of the API for tests, each made by the code that the agent makes them with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perflens.export import json as shapes
from perflens.model import BlockRequest, FileIdentity
from tests.evidence import evidence

__all__ = ["event", "request", "stack"]


def event(**chosen: Any) -> dict[str, Any]:
    """A slow operation as the API shows it."""
    devices = chosen.pop("devices", ())
    return shapes.event(replace(evidence(**chosen), devices=devices))


def request(**chosen: Any) -> dict[str, Any]:
    """A slow request of a disk."""
    own = BlockRequest("write", (8, 0), 2_048, 4_096, 10**12, 5_000_000, 1_000_000, 2_000_000, 0, "sda")
    values: dict[str, Any] = {
        "probe": "block",
        "operation": "write",
        "object_name": "sda",
        "is_request": True,
        "requests": (own,),
        "requests_seen": 1,
        "duration": 8_000_000,
        "end": 10**12 + 8_000_000,
        "on_cpu": 0,
        "runqueue": 0,
        "blocked": {"held": 5_000_000, "queue": 1_000_000, "device": 2_000_000},
        "waits": (),
        "file": FileIdentity("", False, (8, 0), 0),
    }
    return event(**{**values, **chosen})


def stack(count: int, total_ns: int, kernel: tuple[str, ...] = (), user: tuple[str, ...] = (), **chosen: Any) -> dict[str, Any]:
    """A stack as the API shows it, the leaf first."""
    own = {
        "probe": "file",
        "operation": "read",
        "owner": "a.service",
        "count": count,
        "total_seconds": total_ns / 1e9,
        "total_ns": total_ns,
    }
    longest = {"maximum_seconds": total_ns / 1e9, "maximum_ns": total_ns, "kernel_stack": list(kernel), "user_stack": list(user)}
    return {**own, **longest, **chosen}
