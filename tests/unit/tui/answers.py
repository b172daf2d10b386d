"""Answers in the form of the API, and a source that gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perflens.tui.source import Unavailable

__all__ = ["HOSTILE", "NOW", "Answers", "capsule", "diagnosis", "event", "example", "process_of"]

NOW = 1_800_000_000
HOSTILE = "evil\x1b[31m\u202e[red]日本\u0301"
SAFE = "evil\\x1b[31m\\u202e[red]日本\\u0301"


class Answers:
    """A source of what is in ``parts`` by path; ``error`` is raised in place of every answer. It notes what was asked."""

    recorded = 0.0

    def __init__(self, parts: Mapping[str, Any], error: str = "") -> None:
        self.name, self.parts, self.error = "host:9435", dict(parts), error
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closed = False

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        self.asked.append((path, dict(query)))
        if self.error:
            raise Unavailable(self.error)
        own = self.parts[path]
        if path == "events":
            going, pid = query.get("in_progress") == "true", query.get("pid")
            kept = [one for one in own["events"] if one["in_progress"] == going and pid in (None, str(one["process"]["pid"]))]
            return {**own, "events": kept}
        return own

    async def close(self) -> None:
        self.closed = True


def process_of(pid: int) -> dict[str, int]:
    return {"pid": pid, "start_ns": pid * 1000}


def slow(count: int, ns: int, suppressed: int = 0) -> dict[str, Any]:
    return {"count": count, "duration_seconds": ns / 1e9, "duration_ns": ns, "suppressed": suppressed}


def event(
    pid: int, ns: int, name: str = "postgres", *, back: float = 2.0, in_progress: bool = False, operation: str = "fsync"
) -> dict[str, Any]:
    """A slow operation that ended ``back`` seconds before now; two thirds of it it waited for the journal."""
    start = NOW - back - ns / 1e9
    blocked = ns * 2 // 3
    return {
        "id": f"file-{pid}-{ns}-{int(back * 1000)}",
        "probe": "file",
        "operation": operation,
        "object": "ext4",
        "in_progress": in_progress,
        "start_time_seconds": start,
        "start_time_ns": int(start * 1e9),
        "duration_seconds": ns / 1e9,
        "duration_ns": ns,
        "result": None if in_progress else 0,
        "process": process_of(pid),
        "process_name": name,
        "program": f"/usr/bin/{name}",
        "parent_pid": 1,
        "tid": pid + 1,
        "comm": "worker",
        "owner": owner("db.service"),
        "container_id": "",
        "file": {"path": f"/var/lib/{name}/wal", "complete": True, "device": "254:0", "inode": 9},
        "devices": ["vda"],
        "time": {"on_cpu_ns": ns - blocked, "runqueue_ns": 0, "unattributed_ns": 0, "blocked_ns": {"journal": blocked}},
        "waits": [{"offset_ns": 1_000_000, "blocked_ns": blocked, "runqueue_ns": 2_000_000, "reason": "journal"}],
        "waits_seen": 3,
        "requests": [
            {
                "operation": "write",
                "device": "254:0",
                "disk": "vda",
                "sector": 8,
                "bytes": 4096,
                "offset_ns": 2_000_000,
                "held_ns": 1_000,
                "queue_ns": 2_000,
                "device_ns": 5_000_000,
                "error": 0,
            }
        ],
        "requests_seen": 1,
        "kernel_stack": ["jbd2_log_wait_commit+0x10", "ext4_sync_file+0x20"],
        "user_stack": ["fdatasync+0x5"],
        "trace_id": "",
        "span_id": "",
    }


def slow_process(pid: int, name: str, count: int, ns: int, *, explained: bool = True) -> dict[str, Any]:
    return {
        "process": process_of(pid),
        "comm": name,
        "count": count,
        "total_seconds": count * ns / 1e9,
        "total_ns": count * ns,
        "maximum_seconds": ns / 1e9,
        "maximum_ns": ns,
        "maximum_end_time_seconds": NOW - 2.0,
        "slowest": event(pid, ns, name) if explained else None,
    }


def tree_process(pid: int, depth: int, name: str, own: int, below: int, *, alive: bool = True) -> dict[str, Any]:
    return {
        "process": process_of(pid),
        "parent": process_of(1),
        "depth": depth,
        "comm": name,
        "path": f"/usr/bin/{name}",
        "owner": "db.service",
        "alive": alive,
        "slow": own,
        "slow_below": below,
    }


def second(back: int, count: int) -> dict[str, Any]:
    operations = [{"probe": "file", "operation": "fsync", **slow(count, count * 10_000_000)}] if count else []
    return {"time_seconds": NOW - back, "slow": slow(count, count * 10_000_000), "forks": count, "execs": 0, "operations": operations}


def start(kind: str, pid: int, name: str, back: float) -> dict[str, Any]:
    """A fork or an exec so many seconds before now."""
    time, path = NOW - back, f"/usr/bin/{name}" if kind == "exec" else ""
    who = {"process": process_of(pid), "parent": process_of(1), "comm": name, "path": path, "owner": "cron.service"}
    return {"kind": kind, "time_seconds": time, "time_ns": int(time * 1e9), **who}


def diagnosis(id: str, state: str = "open") -> dict[str, Any]:
    """An incident of a journal on a disk, with a fact for it and one against."""
    subject = of("device", "vda")
    cause = {
        "code": "JOURNAL_STALL",
        "score": 0.9,
        "confidence": "high",
        "subject": subject,
        "culprit": of("owner", "backup.service"),
        "victims": [of("owner", "db.service")],
        "claim": "The journal waits for backup.service.",
        "supporting": ["E01"],
        "against": ["E02"],
        "explains": 0.8,
        "contributing": False,
        "actions": [
            {
                "id": "A1",
                "text": "Move the backup.",
                "command": "ionice -c3",
                "risk": "low",
                "reversible": True,
                "verify": "fsync under 5 ms",
            }
        ],
    }
    analysis = {
        "host": "h",
        "start_time_ns": (NOW - 20) * 10**9,
        "end_time_ns": NOW * 10**9,
        "onset_time_ns": 0,
        "verdict": "attributed",
        "slow_operations": 12,
        "slow_seconds": 3.5,
        "victims": [{"subject": of("owner", "db.service"), "seconds": 3.0}],
        "facts": [fact("E01", "time in the journal", 2.5, "s", 0.1), fact("E02", "CPU time in use", 0.4, "ratio", None)],
        "causes": [cause],
        "gaps": ["no locks were measured"],
        "recording": None,
    }
    return {
        "id": id,
        "host": "h",
        "state": state,
        "severity": "critical",
        "cause": "JOURNAL_STALL",
        "subject": subject,
        "opened_time_ns": (NOW - 60) * 10**9,
        "updated_time_ns": (NOW - 5) * 10**9,
        "last_bad_time_ns": (NOW - 5) * 10**9,
        "resolved_time_ns": 0 if state == "open" else NOW * 10**9,
        "summary": "db.service waits for the journal of vda.",
        "source": "rules",
        "model": "",
        "reopened": 0,
        "members": [],
        "merged_by": "",
        "causes": [cause],
        "history": [{"time_ns": (NOW - 60) * 10**9, "cause": "JOURNAL_STALL"}],
        "analysis": analysis,
    }


def fact(id: str, text: str, value: float, unit: str, baseline: float | None) -> dict[str, Any]:
    return {
        "id": id,
        "metric": "m",
        "subject": of("device", "vda"),
        "text": text,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "samples": 10,
        "quality": "exact",
        "source": "s",
        "polarity": "supports",
        "detail": "",
    }


def owner(unit: str) -> dict[str, Any]:
    """An owner that is in no pod."""
    pod = dict.fromkeys(("namespace", "workload", "pod", "pod_uid", "container"), "")
    return {"cgroup_id": 7, "name": unit, "path": f"/system.slice/{unit}", "unit": unit, **pod}


def of(kind: str, name: str) -> dict[str, Any]:
    """A subject that is not known beyond its host."""
    return {"kind": kind, "name": name, "volume": "", "workload": ""}


def example(name: str = "postgres") -> dict[str, Any]:
    """Every answer of an agent on which ``name`` is slow."""
    incident = diagnosis("0a1b2c3d")
    return {
        "summary": {
            "version": "0.1.0",
            "window_seconds": 300,
            "slow": slow(31, 2_500_000_000, 4),
            "operations": [
                {"probe": "file", "operation": "fsync", **slow(23, 2_000_000_000)},
                {"probe": "file", "operation": "read", **slow(8, 500_000_000)},
            ],
            "forks": 5,
            "execs": 3,
            "slow_processes": 2,
            "processes": 99,
            "in_progress": 1,
            "probes": [
                {"name": "file", "attached": True, "mechanism": "tp_btf", "reason": "", "cure": ""},
                {"name": "block", "attached": False, "mechanism": "", "reason": "no BTF", "cure": "install a kernel with BTF"},
            ],
            "evicted": {"events": 0},
        },
        "processes": {
            "by_maximum": [slow_process(4242, name, 3, 900_000_000), slow_process(77, "cron", 20, 50_000_000, explained=False)],
            "by_total": [slow_process(77, "cron", 20, 50_000_000, explained=False)],
            "processes": 2,
        },
        "process-tree": {
            "processes": [
                tree_process(1, 0, "systemd", 0, 23),
                tree_process(4242, 1, name, 3, 3),
                tree_process(77, 1, "cron", 20, 20, alive=False),
            ],
            "total": 3,
        },
        "timeline": {"seconds": [second(back, 8 if back == 3 else 0) for back in range(299, -1, -1)]},
        "events": {
            "events": [
                event(4242, 900_000_000, name),
                event(4242, 20_000_000, name, back=10, operation="read"),
                event(77, 50_000_000, "cron", back=3),
                event(4242, 7_000_000_000, name, back=0, in_progress=True),
            ],
            "cursor": "c1",
            "missed": 0,
        },
        "process-starts": {"starts": [start("exec", 99, "backup", 2.4), start("fork", 99, "cron", 2.6)]},
        "stacks": {"stacks": []},
        "incidents": {"host": "h", "incidents": [incident]},
        "analyses": {"analyses": [incident["analysis"]]},
    }


def capsule(folder: Path) -> str:
    """The path of a recording of these answers."""
    file = folder / "capsule.json"
    members = {name.replace("-", "_"): own for name, own in example().items()}
    file.write_text(json.dumps({"perflens_capsule": 1, "made_at": "2027-01-15T08:00:00Z", **members}))
    return str(file)
