"""What the API shows, as values that JSON knows. Times end in their unit; where ns matter they are whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from perflens.model import BlockRequest, Evidence, FileIdentity, Owner, ProbeState, ProcessEvent, ProcessKey, SlowEvent, Wait

__all__ = ["event", "events", "probe_state", "process_start", "second", "slow", "slow_process", "stack", "summary", "tree_process"]

Json = dict[str, Any]

_SECOND = 1_000_000_000


class Slow(Protocol):
    """Slow operations, counted."""

    @property
    def count(self) -> int: ...
    @property
    def ns(self) -> int: ...
    @property
    def suppressed(self) -> int: ...


class Bucket(Protocol):
    """What happened in one second."""

    @property
    def second(self) -> int: ...
    @property
    def slow(self) -> Slow: ...
    @property
    def forks(self) -> int: ...
    @property
    def execs(self) -> int: ...
    @property
    def operations(self) -> Mapping[tuple[str, str], Slow]: ...


class SlowProcess(Protocol):
    """A process with slow operations."""

    @property
    def process(self) -> ProcessKey: ...
    @property
    def comm(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def maximum(self) -> int: ...
    @property
    def maximum_end(self) -> int: ...
    @property
    def evidence(self) -> Evidence | None: ...


class Process(Protocol):
    """A process of the table."""

    @property
    def key(self) -> ProcessKey: ...
    @property
    def parent(self) -> ProcessKey: ...
    @property
    def comm(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def ended(self) -> int: ...


class StackKey(Protocol):
    """What a stack is counted by."""

    @property
    def probe(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def kernel(self) -> tuple[str, ...]: ...
    @property
    def user(self) -> tuple[str, ...]: ...


class Stack(Protocol):
    """A stack with the operations that had it."""

    @property
    def key(self) -> StackKey: ...
    @property
    def count(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def maximum(self) -> int: ...


def _duration(name: str, ns: int) -> Json:
    return {f"{name}_seconds": ns / _SECOND, f"{name}_ns": ns}


def _key(key: ProcessKey) -> Json:
    return {"pid": key.pid, "start_ns": key.start}


def _owner(owner: Owner) -> Json:
    pod = owner.pod
    return {
        "cgroup_id": owner.cgroup_id,
        "path": owner.path,
        "unit": owner.unit,
        "name": owner.name,
        "namespace": pod.namespace,
        "workload": pod.workload,
        "pod": pod.name,
        "pod_uid": pod.uid,
        "container": pod.container,
    }


def _file(file: FileIdentity) -> Json:
    major, minor = file.device
    return {"path": file.path, "complete": file.complete, "device": f"{major}:{minor}", "inode": file.inode}


def _wait(wait: Wait, start: int) -> Json:
    return {
        "offset_ns": wait.off - start,
        "blocked_ns": wait.waking - wait.off,
        "runqueue_ns": wait.on - wait.waking,
        "reason": wait.reason,
    }


def _request(request: BlockRequest, start: int) -> Json:
    major, minor = request.device
    return {
        "operation": request.operation,
        "device": f"{major}:{minor}",
        "disk": request.disk,
        "sector": request.sector,
        "bytes": request.bytes,
        "offset_ns": request.start - start,
        "held_ns": request.held,
        "queue_ns": request.queue,
        "device_ns": request.served,
        "error": request.error,
    }


def _id(event: SlowEvent) -> str:
    """A thread is in one operation at a time, but may submit more than one request at once."""
    place = f"-{event.requests[0].sector}" if event.is_request else ""
    return f"{event.probe}-{event.tid}-{event.start}{place}"


def _time(event: SlowEvent) -> Json:
    return {
        "on_cpu_ns": event.on_cpu,
        "runqueue_ns": event.runqueue,
        "unattributed_ns": event.unattributed,
        "blocked_ns": dict(event.blocked),
    }


def event(evidence: Evidence) -> Json:
    """One slow operation, whole."""
    own = evidence.event
    return {
        "id": _id(own),
        "probe": own.probe,
        "operation": own.operation,
        "object": own.object_name,
        "in_progress": own.in_progress,
        **_duration("start_time", evidence.wall_start),
        **_duration("duration", own.duration),
        "result": None if own.in_progress else own.result,
        "process": _key(own.process),
        "process_name": own.process_name,
        "program": own.program,
        "parent_pid": own.parent_pid,
        "tid": own.tid,
        "comm": own.comm,
        "owner": _owner(evidence.owner),
        "container_id": evidence.container_id,
        "file": _file(own.file),
        "devices": list(evidence.devices),
        "time": _time(own),
        "waits": [_wait(wait, own.start) for wait in own.waits],
        "waits_seen": own.waits_seen,
        "requests": [_request(request, own.start) for request in own.requests],
        "requests_seen": own.requests_seen,
        "kernel_stack": list(evidence.kernel_stack),
        "user_stack": list(evidence.user_stack),
        "trace_id": evidence.trace_id,
        "span_id": evidence.span_id,
    }


def events(found: Iterable[Evidence], cursor: tuple[int, int], missed: int = 0) -> Json:
    """Slow operations, and where to go on after them; ``cursor`` is (store, number)."""
    return {"events": [event(own) for own in found], "cursor": f"{cursor[0]:x}-{cursor[1]}", "missed": missed}


def slow(counts: Slow) -> Json:
    """Slow operations, counted."""
    return {"count": counts.count, **_duration("duration", counts.ns), "suppressed": counts.suppressed}


def _operations(counts: Mapping[tuple[str, str], Slow]) -> list[Json]:
    return [
        {"probe": probe, "operation": operation, **slow(own)}
        for (probe, operation), own in sorted(counts.items(), key=lambda item: item[0])
    ]


def second(bucket: Bucket, wall_offset: int) -> Json:
    """One second; ``wall_offset`` is what CLOCK_MONOTONIC lacks to the time since the epoch, in ns."""
    return {
        "time_seconds": (bucket.second * _SECOND + wall_offset) // _SECOND,
        "slow": slow(bucket.slow),
        "forks": bucket.forks,
        "execs": bucket.execs,
        "operations": _operations(bucket.operations),
    }


def slow_process(process: SlowProcess, wall_offset: int) -> Json:
    """One process of the top lists."""
    return {
        "process": _key(process.process),
        "comm": process.comm,
        "count": process.count,
        **_duration("total", process.total),
        **_duration("maximum", process.maximum),
        "maximum_end_time_seconds": (process.maximum_end + wall_offset) / _SECOND,
        "slowest": event(process.evidence) if process.evidence else None,
    }


def tree_process(process: Process, depth: int, owner: str, counts: tuple[int, int]) -> Json:
    """One process of the tree; ``counts`` are its own slow operations, and those with all below it."""
    own, below = counts
    return {
        "process": _key(process.key),
        "parent": _key(process.parent),
        "depth": depth,
        "comm": process.comm,
        "path": process.path,
        "owner": owner,
        "alive": not process.ended,
        "slow": own,
        "slow_below": below,
    }


def process_start(event: ProcessEvent, owner: str, wall_offset: int) -> Json:
    """One fork or exec."""
    time = event.time + wall_offset
    return {
        "kind": event.kind,
        "time_seconds": time / _SECOND,
        "time_ns": time,
        "process": _key(event.process),
        "parent": _key(event.parent),
        "comm": event.comm,
        "path": event.path,
        "owner": owner,
    }


def stack(stack: Stack) -> Json:
    """One stack."""
    return {
        "probe": stack.key.probe,
        "operation": stack.key.operation,
        "owner": stack.key.owner,
        "count": stack.count,
        **_duration("total", stack.total),
        **_duration("maximum", stack.maximum),
        "kernel_stack": list(stack.key.kernel),
        "user_stack": list(stack.key.user),
    }


def probe_state(state: ProbeState) -> Json:
    """How a probe stands."""
    return {"name": state.name, "attached": state.attached, "mechanism": state.mechanism, "reason": state.reason, "cure": state.cure}


def summary(
    version: str,
    window: Bucket,
    window_seconds: int,
    *,
    slow_processes: int,
    processes: int,
    in_progress: int,
    probes: Iterable[ProbeState],
    evicted: Mapping[str, int],
) -> Json:
    """The window at a glance."""
    return {
        "version": version,
        "window_seconds": window_seconds,
        "slow": slow(window.slow),
        "operations": _operations(window.operations),
        "forks": window.forks,
        "execs": window.execs,
        "slow_processes": slow_processes,
        "processes": processes,
        "in_progress": in_progress,
        "probes": [probe_state(state) for state in probes],
        "evicted": dict(evicted),
    }
