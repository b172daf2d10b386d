"""Decodes ``struct event``: a slow operation as the kernel side wrote it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from perflens.layout import Layout
from perflens.model import FileIdentity, ProcessKey, SlowEvent, UserFrame, Wait

__all__ = ["Batch", "EventDecoder", "EventLayouts", "ProcessSum", "UndecodableEvent"]

_RECORD = struct.Struct("=II")
_HEAD = ("start", "duration", "process_start", "pid", "operation")  # in the order of their offsets, as a Struct gives them
_SECOND = 1_000_000_000
_ENDLESS = 1 << 64
_STACKS_KEPT = 256
_SPARE = 256  # how many more than asked for are kept until the longest of them are chosen
_BUILD_ID_VALID, _BUILD_ID_IP = 1, 2  # enum bpf_stack_build_id_status of include/uapi/linux/bpf.h
_MINOR_BITS = 20  # MINORBITS of include/linux/kdev_t.h


class UndecodableEvent(ValueError):
    """A record that is not laid out as the object says."""


class EventLayouts(NamedTuple):
    """The structs of an event, as the object's BTF has them."""

    event: Layout
    interval: Layout
    frame: Layout


class ProcessSum(NamedTuple):
    """The events of one process and operation that ended in the same second of CLOCK_MONOTONIC: how many, the ns they took in all,
    and of the longest how long it took, when it ended and where its record lies in the batch."""

    process: ProcessKey
    name: str
    operation: int
    second: int
    events: int
    total: int
    maximum: int
    end: int
    at: int


class Batch(NamedTuple):
    """What a batch holds: every event in ``sums``, where the ``longest`` of them lie, and why ``refused`` records are in neither."""

    sums: list[ProcessSum]
    longest: list[int]
    refused: list[str]


class EventDecoder:
    """Decodes the events of one probe. ``operations`` and ``kinds`` are labels by number, ``reasons`` those of the waits in order."""

    def __init__(
        self, probe: str, layouts: EventLayouts, operations: Mapping[int, str], reasons: Sequence[str], kinds: Mapping[int, str]
    ) -> None:
        self._probe, self._operations, self._reasons = probe, operations, tuple(reasons)
        self._asleep = self._reasons[: self._reasons.index("runqueue")]
        self._kinds = {number: label == "in_progress" for number, label in kinds.items()}
        self._name = layouts.event["process_name"]
        self._head = struct.Struct(f"=I4x{layouts.event.unpacker(*_HEAD).format[1:]}")  # of a record, its length before it
        order = sorted(layouts.event.fields.values(), key=lambda own: own.offset)
        self._names = tuple(own.name for own in order)
        self._whole = layouts.event.unpacker(*self._names)
        self._interval = layouts.interval.unpacker("off", "waking", "on", "reason")
        self._frame = _with_bytes(layouts.frame, "build_id").unpacker("status", "build_id", "offset")
        self._blocked = struct.Struct(f"={len(self._asleep)}Q")
        self._user_stack = lru_cache(_STACKS_KEPT)(self._decode_user_stack)  # half the time of an event; the same ones come again

    def sums(self, batch: bytes | bytearray, used: int, most: int) -> Batch:
        """Sum up every record of a batch that the ring gave, and find the ``most`` longest. A storm is 200,000 events a second."""
        at, unpack, size = 0, self._head.unpack_from, self._head.size - _RECORD.size
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        longest: list[tuple[int, int]] = []
        refused: list[str] = []
        bar = -1 if most else _ENDLESS
        last = used - self._head.size
        while at <= last:
            length, start, duration, process_start, pid, operation = unpack(batch, at)
            if not size <= length <= used - at - 8:
                refused.append(f"a record of {length} bytes")
                at += 8 + (length + 7 & ~7)
                continue
            end = start + duration
            key = process_start, pid, operation, end // _SECOND
            own = groups.get(key)
            if own is None:
                groups[key] = [1, duration, duration, end, at]
            else:
                own[0] += 1
                own[1] += duration
                if duration > own[2]:
                    own[2:] = duration, end, at
            if duration > bar:
                longest.append((duration, at))
                if len(longest) >= most + _SPARE:
                    longest.sort(reverse=True)
                    del longest[most:]
                    bar = longest[-1][0]
            at += 8 + (length + 7 & ~7)
        refused += _short(batch, at, used)
        sums = [
            ProcessSum(ProcessKey(pid, start), self._name_at(batch, own[4]), operation, second, *own)
            for (start, pid, operation, second), own in groups.items()
        ]
        longest.sort(reverse=True)
        return Batch(sums, [place for _, place in longest[:most]], refused)

    def record(self, batch: bytes | bytearray, at: int) -> SlowEvent:
        """Return the event whose record lies at ``at`` in a batch; UndecodableEvent when its parts do not fit its length."""
        return self.whole(batch, at + _RECORD.size, _RECORD.unpack_from(batch, at)[0])

    def whole(self, batch: bytes | bytearray, at: int, length: int) -> SlowEvent:
        """Return the event at ``at``; UndecodableEvent when its parts do not fit its length, or its times its duration."""
        try:
            return self._event(bytes(batch[at : at + length]))
        except (struct.error, KeyError, IndexError) as error:
            raise UndecodableEvent(f"a record of {length} bytes: {error!r}") from error

    def several(self, records: bytes) -> Iterator[SlowEvent]:
        """Yield events that follow each other without record headers; UndecodableEvent at the first that is not whole."""
        at = 0
        while at < len(records):
            if at + self._whole.size > len(records):
                raise UndecodableEvent(f"a record of {len(records) - at} bytes")
            length = self._length(self._members(records, at))
            yield self.whole(records, at, length)
            at += length

    def _name_at(self, batch: bytes | bytearray, at: int) -> str:
        first = at + _RECORD.size + self._name.offset
        return _text(bytes(batch[first : first + self._name.size]))

    def _members(self, records: bytes, at: int = 0) -> dict[str, Any]:
        return dict(zip(self._names, self._whole.unpack_from(records, at), strict=True))

    def _length(self, own: Mapping[str, int]) -> int:
        parts = bool(own["noted"]) * self._blocked.size + own["waits"] * self._interval.size + own["kernel_frames"] * 8
        return self._whole.size + parts + own["user_frames"] * self._frame.size + own["program_length"] + own["path_length"]

    def _event(self, record: bytes) -> SlowEvent:
        own = self._members(record)
        if self._length(own) > len(record):
            raise struct.error("its parts are longer than it")
        at = self._whole.size
        blocked: dict[str, int] = {}
        if own["noted"]:
            found = self._blocked.unpack_from(record, at)
            blocked = {reason: ns for reason, ns in zip(self._asleep, found, strict=True) if ns}
            at += self._blocked.size
        _add(blocked, "unclassified", own["unclassified"])
        end = at + own["waits"] * self._interval.size
        intervals, reasons = self._interval.iter_unpack(record[at:end]), self._reasons
        waits = tuple([Wait(off, waking, on, reasons[reason]) for off, waking, on, reason in intervals])
        kernel_stack = struct.unpack_from(f"={own['kernel_frames']}Q", record, end)
        at = end + own["kernel_frames"] * 8
        end = at + own["user_frames"] * self._frame.size
        user_stack = self._user_stack(record[at:end])
        at = end + own["program_length"]
        program = _path(record[end:at])
        runqueue = self._add_waiting(blocked, own)
        off_cpu, in_progress = runqueue + own["unattributed"] + sum(blocked.values()), self._kinds[own["kind"]]
        duration = max(own["duration"], off_cpu) if in_progress else own["duration"]  # its times went on while they were read
        if off_cpu > duration:
            raise UndecodableEvent(f"a record of {len(record)} bytes: off the CPU for {off_cpu} ns of {duration}")
        return SlowEvent(
            probe=self._probe,
            operation=self._operations[own["operation"]],
            object_name=_text(own["object"]) or "unknown",
            in_progress=in_progress,
            start=own["start"],
            duration=duration,
            process=ProcessKey(own["pid"], own["process_start"]),
            parent_pid=own["parent"],
            tid=own["tid"],
            comm=_text(own["comm"]),
            process_name=_text(own["process_name"]),
            owner_id=own["owner"],
            result=own["result"],
            file=_file(own, record[at : at + own["path_length"]]),
            on_cpu=duration - off_cpu,
            runqueue=runqueue,
            unattributed=own["unattributed"],
            blocked=blocked,
            waits=waits,
            waits_seen=own["waits_seen"],
            kernel_stack=kernel_stack,
            user_stack=user_stack,
            program=f"/{program}" if own["program_complete"] else "",
        )

    def _decode_user_stack(self, frames: bytes) -> tuple[UserFrame, ...]:
        return tuple(
            [
                UserFrame(build_id if status == _BUILD_ID_VALID else b"", offset)
                for status, build_id, offset in self._frame.iter_unpack(frames)
                if status in (_BUILD_ID_VALID, _BUILD_ID_IP)
            ]
        )

    def _add_waiting(self, blocked: dict[str, int], own: Mapping[str, int]) -> int:
        """Add the sleep that goes on to its reason; return the time in the run queue."""
        if self._reasons[own["waiting_reason"]] == "runqueue":
            return own["runqueue"] + own["waiting"]
        _add(blocked, self._asleep[own["waiting_reason"]], own["waiting"])
        return own["runqueue"]


def _add(blocked: dict[str, int], reason: str, ns: int) -> None:
    if ns:
        blocked[reason] = blocked.get(reason, 0) + ns


def _short(batch: bytes | bytearray, at: int, used: int) -> Iterator[str]:
    """Tell of what is left of a batch, too short for an event."""
    while at + _RECORD.size <= used:
        length, _ = _RECORD.unpack_from(batch, at)
        yield f"a record of {length} bytes"
        at += _RECORD.size + (length + 7 & ~7)


def _with_bytes(layout: Layout, name: str) -> Layout:
    """Return a layout in which the array of this name is one value."""
    return replace(layout, fields={**layout.fields, name: replace(layout[name], typename="char")})


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _path(names: bytes) -> str:
    return os.fsdecode(b"/".join(names.split(b"\0")[-2::-1]))


def _file(own: Mapping[str, int], names: bytes) -> FileIdentity:
    known, complete = _path(names), bool(own["path_complete"])
    path = ("/" if complete else "…/") + known if known or complete else ""
    return FileIdentity(path, complete, (own["device"] >> _MINOR_BITS, own["device"] & (1 << _MINOR_BITS) - 1), own["inode"])
