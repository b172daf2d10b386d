"""What a span says of its operation: the names of the semantic conventions where they have one, else `perflens.*`.

Durations are doubles in seconds, counts and bytes are integers. The names carry no unit, as those of the conventions carry none;
docs/spans.md lists each with its unit. An inode is text: it may need 64 bits, and it is a name, not a number.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from perflens.export.otlp.text import cleaned, stack
from perflens.model import BlockRequest, Evidence, Pod, PodVolume, SlowEvent, Wait

__all__ = ["BootClock", "Value", "error_type", "of_operation", "of_request", "of_wait"]

Value = str | bool | int | float

_LONGEST_NAME = 16
_LONGEST_PATH = 4_096
_DIRECTIONS = frozenset({"read", "write"})
_WORKLOADS = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"})
"""Kinds for which the conventions have a name."""
_STACKS_KEPT = 64
_LAST_SECTOR = (1 << 63) - 1  # what the protocol can carry; a flush is nowhere, which the kernel says by the last number of 64 bits
_BLOCKED: dict[str, str] = {}


class BootClock:
    """Tells when a process began. ``boot`` is when CLOCK_BOOTTIME was 0, in ns since the epoch.

    It is taken once: a clock that is set meanwhile must not give a process a second beginning, which is part of its identity.
    """

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self.creation_time = lru_cache(maxsize=4_096)(self._creation_time)

    def _creation_time(self, start: int) -> str:
        began = datetime.fromtimestamp((self._boot + start) // 1_000_000 / 1_000, UTC)
        return began.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def of_operation(evidence: Evidence, clock: BootClock) -> dict[str, Value]:
    """Return the attributes of an operation's span."""
    event = evidence.event
    found: dict[str, Value] = {
        "process.pid": event.process.pid,
        "process.parent_pid": event.parent_pid,
        "process.executable.name": cleaned(event.process_name, _LONGEST_NAME),
        "process.linux.cgroup": cleaned(evidence.owner.path, _LONGEST_PATH),
        "thread.id": event.tid,
        "thread.name": cleaned(event.comm, _LONGEST_NAME),
        "perflens.probe": event.probe,
        "perflens.operation": event.operation,
        "perflens.owner": cleaned(evidence.owner.name, _LONGEST_PATH),
    }
    if not event.is_request:
        found |= _of_thread(event)
        if event.requests_seen:
            found["perflens.requests"] = event.requests_seen
    if event.process.start:
        found["process.creation.time"] = clock.creation_time(event.process.start)
    if event.program:
        found["process.executable.path"] = cleaned(event.program, _LONGEST_PATH)
    if evidence.container_id:
        found["container.id"] = cleaned(evidence.container_id, _LONGEST_PATH)
    found |= _of_pod(evidence.owner.pod)
    found |= _of_volume(evidence.volume)
    for reason, blocked in event.blocked.items():
        found[_blocked(reason)] = blocked / 1e9
    _add_object(found, event, evidence.devices)
    _add_result(found, event)
    if evidence.kernel_stack or evidence.user_stack:
        found["code.stacktrace"] = _stack(evidence.kernel_stack, evidence.user_stack)
    return found


def _of_pod(pod: Pod) -> Mapping[str, Value]:
    """What is known of the pod around an operation."""
    kind, _, workload = pod.workload.partition("/")
    found = {
        "k8s.pod.uid": pod.uid,
        "k8s.namespace.name": pod.namespace,
        "k8s.pod.name": pod.name,
        "k8s.container.name": pod.container,
        f"k8s.{kind.lower()}.name": workload if kind in _WORKLOADS else "",
    }
    return {key: cleaned(value, _LONGEST_PATH) for key, value in found.items() if value}


def _of_volume(volume: PodVolume | None) -> Mapping[str, Value]:
    """What is known of the pod's volume that an operation was about."""
    if volume is None:
        return {}
    found = {
        "k8s.volume.name": volume.volume,
        "k8s.persistentvolume.name": volume.persistent_volume,
        "k8s.persistentvolumeclaim.name": volume.claim,
    }
    return {key: cleaned(value, _LONGEST_PATH) for key, value in found.items() if value}


def _of_thread(event: SlowEvent) -> Mapping[str, Value]:
    """What only an operation of a thread has."""
    return {
        "perflens.on_cpu": event.on_cpu / 1e9,
        "perflens.runqueue": event.runqueue / 1e9,
        "perflens.unattributed": event.unattributed / 1e9,
        "perflens.waits": event.waits_seen,
    }


def of_request(request: BlockRequest) -> Mapping[str, Value]:
    """Return the attributes of the span of a request below that of its operation."""
    found: dict[str, Value] = {"perflens.operation": request.operation, "perflens.bytes": request.bytes, **_place(request)}
    for part, ns in (("held", request.held), ("queue", request.queue), ("device", request.served)):
        found[_blocked(part)] = ns / 1e9
    if request.error:
        found["error.type"] = _error(request.error)
    return found


def _place(request: BlockRequest) -> Mapping[str, Value]:
    found: dict[str, Value] = {"system.device": cleaned(request.disk, _LONGEST_PATH) or f"{request.device[0]}:{request.device[1]}"}
    if request.operation in _DIRECTIONS:
        found["disk.io.direction"] = request.operation
    if request.sector <= _LAST_SECTOR:
        found["perflens.block.sector"] = request.sector
    return found


def of_wait(wait: Wait) -> Mapping[str, Value]:
    """Return the attributes of the span of one wait."""
    return {
        "perflens.wait.reason": wait.reason,
        "perflens.wait.blocked": (wait.waking - wait.off) / 1e9,
        "perflens.wait.runqueue": (wait.on - wait.waking) / 1e9,
    }


def error_type(event: SlowEvent) -> str:
    """Return the name of the error that the call returned, empty when it succeeded or has not returned."""
    if event.result >= 0 or event.in_progress:
        return ""
    return _error(-event.result)


def _error(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _add_object(found: dict[str, Value], event: SlowEvent, devices: Sequence[str]) -> None:
    file = event.file
    if event.is_request:
        found.update(_place(event.requests[0]))
        return
    if event.operation in _DIRECTIONS:
        found["disk.io.direction"] = event.operation
    if devices:
        found["system.device"] = cleaned(",".join(devices), _LONGEST_PATH)
    if any(file.device):
        number = found["perflens.file.device"] = f"{file.device[0]}:{file.device[1]}"
        found.setdefault("system.device", number)
    if event.object_name:
        found["perflens.fs"] = cleaned(event.object_name, _LONGEST_PATH)
    if file.inode:
        found["perflens.file.inode"] = str(file.inode)
    if file.path:
        found["perflens.file.path"] = cleaned(file.path, _LONGEST_PATH)
        found["perflens.file.path.complete"] = file.complete


def _add_result(found: dict[str, Value], event: SlowEvent) -> None:
    error = error_type(event)
    if error:
        found["error.type"] = error
    elif not event.in_progress:
        found["perflens.bytes"] = event.result


def _blocked(reason: str) -> str:
    """The name of the attribute, made once for each of the few reasons."""
    return _BLOCKED.get(reason) or _BLOCKED.setdefault(reason, f"perflens.blocked.{reason}")


@lru_cache(_STACKS_KEPT)
def _stack(kernel: tuple[str, ...], user: tuple[str, ...]) -> str:
    """One text for all spans of the same stacks: it is half of what a span takes while it waits."""
    return stack((*kernel, *user))
