"""Stand-ins for tests: what is recorded here goes through the real harvest, decoding, aggregation and export, without root."""

from __future__ import annotations

import mmap
import os
import platform
import struct
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence

from perflens.kernel.attached import REQUEST_IS_OVER, AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.kprobes import Kprobes
from perflens.kernel.loader import Loaded
from perflens.kernel.ring import Ring
from perflens.layout import enum_labels
from perflens.model import BUCKETS, BlockRequest, UserFrame, Wait, bucket_bounds
from perflens.probe import Probe, Rung

__all__ = ["FakeCells", "FakeLoaded"]

_BOUNDS = bucket_bounds()
_NAME_SIZE, _DEPTH = 256, 24  # OWNER_NAME_SIZE, by which the names' array is longer than a path, and OWNER_DEPTH of owner.h
_RECORD = struct.Struct("=II")  # before each record of a ring: its length, and a page offset that user space has no use for


class FakeLoaded(Loaded):
    """The maps of an object in this process's memory: arrays of zeros, the hashes of cells and verdicts, the queue of free cells.

    ``forgotten`` are the threads whose sleeps were deleted; ``walked`` is what the iterator of the operations in progress gives,
    ``over`` are the addresses of requests that have ended unseen.
    """

    def __init__(self, types: ObjectTypes, sizes: Sizes) -> None:
        self._memories, self._programs, self._tables, self._handle = [], {}, {}, 0
        self._links: dict[str, list[int]] = {}
        self._facts: dict[str, int] = {}
        self._kprobes = Kprobes("fake")
        arrays = {
            "cells": ("cell", sizes.cells * sizes.shards),
            "cell_keys": ("cell_key", sizes.cells),
            "cell_infos": ("cell_info", sizes.cells),
            "slots": ("op_slot", sizes.slots),
            "requests": ("request_slot", sizes.slots),
            "ledger": ("ledger_shard", sizes.shards),
            "wait_frames": ("wait_frame", 512),
        }
        self._lengths = {name: types.struct(value).size * count for name, (value, count) in arrays.items() if value in types.structs}
        self._lengths[".bss"] = max(own.field.offset + own.field.size for own in types.variables.values() if own.section == ".bss")
        self._capacity = sizes.cells
        self.named: dict[str, mmap.mmap] = {}
        self.index: dict[bytes, int] = {}
        self.free: deque[int] = deque()
        self.forgotten: list[int] = []
        self.walked = b""
        self.over: set[int] = set()
        self.verdicts: dict[int, int] = {}

    def memory(self, name: str) -> mmap.mmap:
        mapped = self.named[name] = mmap.mmap(-1, self._lengths[name])
        self._memories.append(mapped)
        return mapped

    def map_fd(self, name: str) -> int:
        return -1

    def ring(self, name: str, size: int) -> Ring:
        consumer, producer = mmap.mmap(-1, mmap.PAGESIZE), mmap.mmap(-1, mmap.PAGESIZE + 2 * size)
        self._memories += [consumer, producer]
        return Ring(-1, consumer, producer)

    def run(self, program: str, arguments: bytes) -> int:
        assert program == REQUEST_IS_OVER
        return int.from_bytes(arguments, "little") in self.over

    def update(self, map_name: str, key: bytes | None, value: bytes) -> bool:
        if map_name == "filter_verdicts":
            assert key
            self.verdicts[int.from_bytes(key, sys.byteorder)] = int.from_bytes(value, sys.byteorder)
            return True
        assert (map_name, key) == ("free_cells", None)
        if len(self.free) == self._capacity:
            return False
        self.free.append(*struct.unpack("=I", value))
        return True

    def delete(self, map_name: str, key: bytes) -> bool:
        if map_name == "sleeps":
            self.forgotten += struct.unpack("=I", key)
            return False
        if map_name == "filter_verdicts":
            return self.verdicts.pop(int.from_bytes(key, sys.byteorder), None) is not None
        assert map_name == "cell_index"
        return self.index.pop(key, None) is not None

    def iterate(self, program: str) -> bytes:
        return self.walked

    def missed(self) -> dict[tuple[str, str], int]:
        return {}


class FakeCells(AttachedProbe):
    """A probe that is attached to nothing: ``record`` does what the kernel side does at the end of an operation."""

    def __init__(
        self,
        name: str,
        probe: Probe,
        *,
        cells: int = 64,
        shards: int = 2,
        slots: int = 64,
        threshold: int = 5_000_000,
        procfs: str = "/proc",
    ) -> None:
        types = object_types(object_path(name, platform.machine()))
        self.operations = enum_labels(probe.operations, types.enum(probe.operations))
        sizes = Sizes(cells, slots, shards, ring=1 << 16).fit(probe)
        self._fake = FakeLoaded(types, sizes)
        super().__init__(self._fake, types, sizes, probe, Rung("fake", ()), len(self.operations), procfs)
        self.set_thresholds([threshold] * len(self.operations))
        in_flight = "request_slot" if probe.in_flight == "requests" else "op_slot"
        self._cell, self._info, self._slot = (types.struct(name) for name in ("cell", "cell_info", in_flight))
        self._types = types
        self._numbers = {label: number for number, label in self._counters.items()}
        self._objects: dict[str, int] = {}
        self._counted, self._requests = probe.counted, probe.requests
        self._next_shard = 0

    def record(
        self,
        owner: int,
        object_name: str,
        operation: int,
        ns: int,
        path: Sequence[str] = ("system.slice", "a.service"),
        complete: bool = True,
        part: int | None = None,
    ) -> int:
        """Aggregate one operation, on the next shard in turn; return its cell. Unless ``complete`` the kernel noted no path.

        Without a ``part`` it is counted in the one that has each operation once, and only there it has entered and may be slow.
        """
        part = self._counted if part is None else part
        self._next_shard = (self._next_shard + 1) % self._sizes.shards
        if part == self._counted:
            self.count("entered")
        index = self._claim(owner, object_name, part * self._thresholds.count + operation, path, complete)
        bucket = bisect_left(_BOUNDS, ns)
        if bucket == BUCKETS:
            bucket -= 1
            self.count("overlong")
        at = (index * self._sizes.shards + self._next_shard) * self._cell.size
        self._add("=I", self._cells, at + self._cell["bucket"].offset + 4 * bucket, 1)
        self._add("=Q", self._cells, at + self._cell["sum"].offset, ns)
        if part == self._counted and ns >= self.variables.get("thresholds")[operation]:
            self._add("=I", self._cells, at + self._cell["slow"].offset, 1)
            self._add("=Q", self._cells, at + self._cell["slow_sum"].offset, ns)
        return index

    def wait(self, cell: int, reason: str, ns: int) -> None:
        """Add to the time that the operations of a cell spent off the CPU."""
        at = cell * self._sizes.shards * self._cell.size + self._cell["wait"].offset
        self._add("=Q", self._cells, at + 8 * self.wait_reasons.index(reason), ns)

    def begin(self, tid: int, owner: int, operation: int, start: int) -> None:
        """Put an operation in flight, as of ``start`` in ns of CLOCK_MONOTONIC; beside the slots when another thread has its slot."""
        slots, at = self._fake.named[self._in_flight], tid % self._sizes.slots * self._slot.size
        own = self._slot.unpacker("start", "tid", "begun")
        started, begun, has_it = own.unpack_from(slots, at)
        if started and has_it != tid:
            for counter in ("entered", "slot_collision", "overflow_entered"):
                self.count(counter)
            return
        if started:
            self.count("died")
        for name, value in {"tid": tid, "owner": owner, "operation": operation, "begun": begun + 1, "start": start}.items():
            struct.pack_into(f"={self._slot[name].code}", slots, at + self._slot[name].offset, value)

    def event(
        self,
        *,
        blocked: Mapping[str, int] | None = None,
        waits: Sequence[Wait] = (),
        requests: Sequence[BlockRequest] = (),
        kernel_stack: Sequence[int] = (),
        user_stack: Sequence[UserFrame | None] = (),
        program: Sequence[str] | None = None,
        path: Sequence[str] | None = None,
        **fields: int | str | bytes,
    ) -> bytes:
        """Return a ``struct event`` as the kernel side writes it; ``fields`` are its members by name, those of its parts too.

        ``blocked`` is time asleep by reason. ``program`` and ``path`` are names from the root on: complete, unless a field says not.
        A user frame of None is one whose place the kernel could not tell.
        """
        interval = self._types.struct("wait_interval").unpacker("off", "waking", "on", "reason")
        frame = self._types.struct("event_frame").unpacker("status", "build_id", "offset")
        names = [b"".join(os.fsencode(part) + b"\0" for part in reversed(own or ())) for own in (program, path)]
        asleep = [(blocked or {}).get(reason, 0) for reason in self.wait_reasons[: self.wait_reasons.index("runqueue")]]
        values: dict[str, int | str | bytes] = {
            "noted": blocked is not None,
            "waits": len(waits),
            "waits_seen": len(waits),
            "requests": len(requests),
            "requests_seen": len(requests),
            "kernel_frames": len(kernel_stack),
            "user_frames": len(user_stack),
            "program_length": len(names[0]),
            "program_complete": program is not None,
            "path_length": len(names[1]),
            "path_complete": path is not None,
        }
        payload = self._packed("event", {**values, **fields})
        payload += struct.pack(f"={len(asleep)}Q", *asleep) if blocked is not None else b""
        for wait in waits:
            payload += interval.pack(wait.off, wait.waking, wait.on, self.wait_reasons.index(wait.reason))
        payload += b"".join(map(self._note, requests))
        payload += struct.pack(f"={len(kernel_stack)}Q", *kernel_stack)
        for own in user_stack:  # the status is an enum bpf_stack_build_id_status of include/uapi/linux/bpf.h
            payload += frame.pack(1 if own.build_id else 2, *own.build_id.ljust(20, b"\0"), own.offset) if own else bytes(frame.size)
        return bytes(payload + names[0] + names[1])

    def request(self, **fields: int | str | bytes) -> bytes:
        """Return a ``struct event`` of a request as the kernel side writes it; ``fields`` are its members by name."""
        return self._packed("event", fields)

    def _note(self, request: BlockRequest) -> bytes:
        numbers = {label: number for number, label in enum_labels(self._requests, self._types.enum(self._requests)).items()}
        major, minor = request.device
        own = {name: getattr(request, name) for name in ("start", "held", "queue", "sector", "bytes")}
        own |= {"device": request.served, "number": major << 20 | minor, "error": -request.error, "operation": numbers[request.operation]}
        return self._packed("request_note", own)

    def _packed(self, struct_name: str, fields: Mapping[str, int | str | bytes]) -> bytes:
        layout = self._types.struct(struct_name)
        payload = bytearray(layout.size)
        for name, value in fields.items():
            packed = os.fsencode(value) if isinstance(value, str) else value
            struct.pack_into(f"={layout[name].code}", payload, layout[name].offset, packed)
        return bytes(payload)

    def emit(self, record: bytes) -> bool:
        """Put a record into the ring, as ``event`` makes them, and count what became of it; return whether there was room."""
        producer, page = self.ring._producer, mmap.PAGESIZE
        size = (len(producer) - page) // 2
        taken, end = (int.from_bytes(own[:8], sys.byteorder) for own in (self.ring._consumer, producer))
        whole = (_RECORD.pack(len(record), 0) + record).ljust(_RECORD.size + -(-len(record) // 8) * 8, b"\0")
        if end + len(whole) - taken >= size:
            self.count("ring_full")
            return False
        for offset, byte in enumerate(whole, end):  # the data is mapped twice, so that no record wraps
            at = page + offset % size
            producer[at] = producer[at + size] = byte
        struct.pack_into("=Q", producer, 0, end + len(whole))
        self.count("emitted")
        return True

    def count(self, counter: str) -> None:
        """Add one to a counter of the ledger."""
        self._add("=Q", self._ledger, self._next_shard * self._shard.size + 8 * self._numbers[counter], 1)

    def _claim(self, owner: int, object_name: str, operation: int, path: Sequence[str], complete: bool) -> int:
        opaque = self._objects.setdefault(object_name, 0xFFFF_8000_0000_0000 + len(self._objects))
        key = self._key_layout.unpacker("owner", "object", "operation", "state").pack(owner, opaque, operation, self._states["live"])
        if (known := self._fake.index.get(key)) is not None:
            return known
        if not self._fake.free:
            self.count("no_cell")
            return operation
        index = self._fake.index[key] = self._fake.free.popleft()
        self._write_info(index, object_name, path if complete else (), complete)
        self._keys[index * len(key) : (index + 1) * len(key)] = key
        return index

    def _write_info(self, index: int, object_name: str, path: Sequence[str], complete: bool) -> None:
        name, owner = self._info["object"], self._info["owner"]
        assert owner.layout is not None
        names = owner.layout["names"]
        text, room = b"", names.size - _NAME_SIZE
        raw = [part.encode("utf-8", "surrogateescape")[: _NAME_SIZE - 1] + b"\0" for part in reversed(path)]
        while raw and len(text) + len(raw[0]) <= room and text.count(b"\0") < _DEPTH:
            text += raw.pop(0)
        if raw or text.count(b"\0") == _DEPTH:
            complete = False
            self.count("name_truncated")
        at = index * self._info.size
        struct.pack_into(f"<{name.size - 1}sx", self._infos, at + name.offset, object_name.encode())
        struct.pack_into("<I", self._infos, at + owner.offset + owner.layout["length"].offset, len(text))
        struct.pack_into("<I", self._infos, at + owner.offset + owner.layout["complete"].offset, complete)
        struct.pack_into(f"<{names.size}s", self._infos, at + owner.offset + names.offset, text)

    @staticmethod
    def _add(code: str, memory: mmap.mmap, at: int, value: int) -> None:
        struct.pack_into(code, memory, at, (struct.unpack_from(code, memory, at)[0] + value) % (1 << 8 * struct.calcsize(code)))
