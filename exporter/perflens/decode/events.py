"""Decodes ``struct event``: a slow operation as the kernel side wrote it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from perflens.decode.sums import SummingDecoder, UndecodableEvent, device_of, text
from perflens.layout import Layout
from perflens.model import BlockRequest, FileIdentity, ProcessKey, SlowEvent, UserFrame, Wait

__all__ = ["EventDecoder", "EventLayouts"]

_STACKS_KEPT = 256
_BUILD_ID_VALID, _BUILD_ID_IP = 1, 2  # enum bpf_stack_build_id_status of include/uapi/linux/bpf.h
_NOTE = ("start", "held", "queue", "device", "sector", "bytes", "number", "error", "operation")  # in the order of their offsets
_NO_REQUESTS: Mapping[int, str] = {}


class EventLayouts(NamedTuple):
    """The structs of an event, as the object's BTF has them."""

    event: Layout
    interval: Layout
    frame: Layout
    note: Layout


class EventDecoder(SummingDecoder):
    """Decodes the events of one probe. ``operations``, ``kinds`` and ``requests`` are labels by number, ``reasons`` those of the waits
    in order."""

    def __init__(
        self,
        probe: str,
        layouts: EventLayouts,
        operations: Mapping[int, str],
        reasons: Sequence[str],
        kinds: Mapping[int, str],
        requests: Mapping[int, str] = _NO_REQUESTS,
    ) -> None:
        super().__init__(layouts.event)
        self._probe, self._operations, self._reasons, self._requests = probe, operations, tuple(reasons), requests
        self._asleep = self._reasons[: self._reasons.index("runqueue")]
        self._kinds = {number: label == "in_progress" for number, label in kinds.items()}
        order = sorted(layouts.event.fields.values(), key=lambda own: own.offset)
        self._names = tuple(own.name for own in order)
        self._whole = layouts.event.unpacker(*self._names)
        self._interval = layouts.interval.unpacker("off", "waking", "on", "reason")
        self._note = layouts.note.unpacker(*_NOTE)
        self._frame = _with_bytes(layouts.frame, "build_id").unpacker("status", "build_id", "offset")
        self._blocked = struct.Struct(f"={len(self._asleep)}Q")
        self._user_stack = lru_cache(_STACKS_KEPT)(self._decode_user_stack)  # half the time of an event; the same ones come again

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

    def _members(self, records: bytes, at: int = 0) -> dict[str, Any]:
        return dict(zip(self._names, self._whole.unpack_from(records, at), strict=True))

    def _length(self, own: Mapping[str, int]) -> int:
        sizes = (
            bool(own["noted"]) * self._blocked.size,
            own["waits"] * self._interval.size,
            own["requests"] * self._note.size,
            own["kernel_frames"] * 8,
            own["user_frames"] * self._frame.size,
            own["program_length"],
            own["path_length"],
        )
        return self._whole.size + sum(sizes)

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
        at, end = end, end + own["requests"] * self._note.size
        requests = tuple([self._request(*note) for note in self._note.iter_unpack(record[at:end])])
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
            object_name=text(own["object"]) or "unknown",
            in_progress=in_progress,
            start=own["start"],
            duration=duration,
            process=ProcessKey(own["pid"], own["process_start"]),
            parent_pid=own["parent"],
            tid=own["tid"],
            comm=text(own["comm"]),
            process_name=text(own["process_name"]),
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
            requests=requests,
            requests_seen=own["requests_seen"],
        )

    def _request(
        self, start: int, held: int, queue: int, served: int, sector: int, length: int, number: int, error: int, operation: int
    ) -> BlockRequest:
        return BlockRequest(self._requests[operation], device_of(number), sector, length, start, held, queue, served, abs(error))

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


def _with_bytes(layout: Layout, name: str) -> Layout:
    """Return a layout in which the array of this name is one value."""
    return replace(layout, fields={**layout.fields, name: replace(layout[name], typename="char")})


def _path(names: bytes) -> str:
    return os.fsdecode(b"/".join(names.split(b"\0")[-2::-1]))


def _file(own: Mapping[str, int], names: bytes) -> FileIdentity:
    known, complete = _path(names), bool(own["path_complete"])
    path = ("/" if complete else "…/") + known if known or complete else ""
    return FileIdentity(path, complete, device_of(own["device"]), own["inode"])
