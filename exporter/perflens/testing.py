"""Stand-ins for tests: what is recorded here goes through the real harvest, decoding, aggregation and export, without root."""

from __future__ import annotations

import mmap
import platform
import struct
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.loader import Loaded
from perflens.kernel.ring import Ring
from perflens.layout import enum_labels
from perflens.model import BUCKETS, bucket_bounds
from perflens.probe import Probe, Rung

__all__ = ["FakeCells", "FakeLoaded"]

_BOUNDS = bucket_bounds()
_NAME_SIZE, _DEPTH = 256, 24  # OWNER_NAME_SIZE, by which the names' array is longer than a path, and OWNER_DEPTH of owner.h


class FakeLoaded(Loaded):
    """The maps of an object in this process's memory: arrays of zeros, the hash of the cells and the queue of free ones."""

    def __init__(self, types: ObjectTypes, sizes: Sizes) -> None:
        self._links, self._memories, self._handle = [], [], 0
        arrays = {
            "cells": ("cell", sizes.cells * sizes.shards),
            "cell_keys": ("cell_key", sizes.cells),
            "cell_infos": ("cell_info", sizes.cells),
            "slots": ("op_slot", sizes.slots),
            "ledger": ("ledger_shard", sizes.shards),
            "wait_frames": ("wait_frame", 512),
        }
        self._lengths = {name: types.struct(value).size * count for name, (value, count) in arrays.items()}
        self._lengths[".bss"] = max(own.field.offset + own.field.size for own in types.variables.values() if own.section == ".bss")
        self._capacity = sizes.cells
        self.named: dict[str, mmap.mmap] = {}
        self.index: dict[bytes, int] = {}
        self.free: deque[int] = deque()

    def memory(self, name: str) -> mmap.mmap:
        mapped = self.named[name] = mmap.mmap(-1, self._lengths[name])
        self._memories.append(mapped)
        return mapped

    def ring(self, name: str, size: int) -> Ring:
        consumer, producer = mmap.mmap(-1, mmap.PAGESIZE), mmap.mmap(-1, mmap.PAGESIZE + 2 * size)
        self._memories += [consumer, producer]
        return Ring(-1, consumer, producer)

    def update(self, map_name: str, key: bytes | None, value: bytes) -> bool:
        assert (map_name, key) == ("free_cells", None)
        if len(self.free) == self._capacity:
            return False
        self.free.append(*struct.unpack("=I", value))
        return True

    def delete(self, map_name: str, key: bytes) -> bool:
        assert map_name == "cell_index"
        return self.index.pop(key, None) is not None

    def missed(self) -> int:
        return 0


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
        super().__init__(self._fake, types, sizes, Rung("fake", ()), len(self.operations), procfs)
        self.set_thresholds([threshold] * len(self.operations))
        self._cell, self._info, self._slot = (types.struct(name) for name in ("cell", "cell_info", "op_slot"))
        self._numbers = {label: number for number, label in self._counters.items()}
        self._objects: dict[str, int] = {}
        self._next_shard = 0

    def record(
        self,
        owner: int,
        object_name: str,
        operation: int,
        ns: int,
        path: Sequence[str] = ("system.slice", "a.service"),
        complete: bool = True,
    ) -> int:
        """Aggregate one operation, on the next shard in turn; return its cell. Unless ``complete`` the kernel noted no path."""
        self._next_shard = (self._next_shard + 1) % self._sizes.shards
        self.count("entered")
        index = self._claim(owner, object_name, operation, path, complete)
        bucket = bisect_left(_BOUNDS, ns)
        if bucket == BUCKETS:
            bucket -= 1
            self.count("overlong")
        at = (index * self._sizes.shards + self._next_shard) * self._cell.size
        self._add("=I", self._cells, at + self._cell["bucket"].offset + 4 * bucket, 1)
        self._add("=Q", self._cells, at + self._cell["sum"].offset, ns)
        if ns >= self.variables.get("thresholds")[operation]:
            self._add("=I", self._cells, at + self._cell["slow"].offset, 1)
            self._add("=Q", self._cells, at + self._cell["slow_sum"].offset, ns)
        return index

    def wait(self, cell: int, reason: str, ns: int) -> None:
        """Add to the time that the operations of a cell spent off the CPU."""
        at = cell * self._sizes.shards * self._cell.size + self._cell["wait"].offset
        self._add("=Q", self._cells, at + 8 * self.wait_reasons.index(reason), ns)

    def begin(self, tid: int, owner: int, operation: int, start: int) -> None:
        """Put an operation in flight, as of ``start`` in ns of CLOCK_MONOTONIC."""
        for name, value in {"tid": tid, "owner": owner, "operation": operation, "start": start}.items():
            at = tid % self._sizes.slots * self._slot.size + self._slot[name].offset
            struct.pack_into(f"={self._slot[name].code}", self._fake.named["slots"], at, value)

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
