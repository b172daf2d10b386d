"""The members of a capsule for tests, as the API of wired stages answers them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from perflens.capsule import MEMBERS, Capsule
from perflens.model import BlockRequest, FileIdentity, ProcessEvent, ProcessKey
from tests.evidence import SECOND, evidence
from tests.unit.analyzer.test_values import INCIDENT
from tests.unit.test_api_wired import NOW, Agent, ask

__all__ = ["busy_agent", "capsule"]


def busy_agent() -> Agent:
    """An agent with operations, a request, one in progress, a tree of processes and an incident."""
    own, shell, worker = Agent(), ProcessKey(100, 100 * SECOND), ProcessKey(101, 101 * SECOND)
    own.processes.apply([ProcessEvent("fork", NOW, worker, shell, "sh", 7, "")])
    own.starts.add(
        [ProcessEvent("fork", NOW - 2, worker, shell, "sh", 7, ""), ProcessEvent("exec", NOW - 1, worker, shell, "db", 7, "/bin/db")]
    )
    own.timeline.add_processes(NOW // SECOND, 1, 0)
    for pid, ms in ((100, 10), (101, 30), (101, 20)):
        own.take(evidence(pid=pid, duration=ms * 10**6, end=NOW - ms))
    request = BlockRequest("read", (8, 0), 8, 4_096, NOW - 10**7, 1, 2, 10**7 - 3, 0, "sda")
    file = FileIdentity("", False, (8, 0), 0)
    blocked = {"held": 1, "queue": 2, "device": 10**7 - 3}
    one = evidence(
        probe="block", object_name="sda", is_request=True, requests=(request,), requests_seen=1, file=file, end=NOW, blocked=blocked
    )
    own.take(replace(one, devices=("sda",), container_id="c" * 64))
    own.take(evidence(pid=101, in_progress=True, duration=9 * SECOND, end=NOW))
    own.told = [INCIDENT]
    return own


def capsule(agent: Agent | None = None) -> Capsule:
    """What `perflens capsule` makes of it."""
    own = agent or busy_agent()

    async def every() -> dict[str, Any]:
        return {name: await ask(own, path) for name, path in MEMBERS.items()}

    return Capsule("2026-01-31T12:00:00Z", "0.1.0", asyncio.run(every()))
