"""A probe that is attached: its cells, slots and ledger in memory that the kernel writes and the agent reads."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel import _native
from perflens.kernel.btf import ObjectTypes, read_object
from perflens.kernel.features import Host
from perflens.kernel.loader import Loaded, Plan, load
from perflens.kernel.slots import Slots
from perflens.layout import Layout, enum_labels
from perflens.model import BUCKETS, CellKey, bucket_bounds
from perflens.probe import Probe, Rung

__all__ = ["AttachedProbe", "Sizes", "attach", "object_path", "object_types"]

_STRUCTS = frozenset({"cell", "cell_info", "cell_key", "ledger_shard", "op_slot"})
_DETAILS = ("overlong", "no_cell", "slot_collision", "name_truncated")
_OUTCOMES = ("blocking_peer", "filtered", "no_slot", "died")
_UNREACHABLE = 2**63 - 1  # pads the bounds table where a masked index may point


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the shared tables are: cells and slots (a power of two), and shards of each cell (a power of two)."""

    cells: int
    slots: int
    shards: int

    @classmethod
    def of(cls, host: Host, cells: int) -> Sizes:
        """Fit the tables to the host; the formula is in docs/memory.md."""
        return cls(cells, 1 << (min(host.pid_max, 65_536) - 1).bit_length(), 1 << (min(host.possible_cpus, 8) - 1).bit_length())


def object_path(name: str, machine: str, folder: Path | None = None) -> Path:
    """Return where the compiled object of a probe lies for an architecture."""
    return (folder or Path(__file__).parent.parent / "objects") / machine / f"{name}.bpf.o"


@cache
def object_types(path: Path) -> ObjectTypes:
    """Read the shared structs, the enums and the variables of a probe's object, once: it does not change under a running agent."""
    return read_object(path, _STRUCTS)


class AttachedProbe:
    """The shared memory of one probe. Only the agent's worker thread calls it."""

    def __init__(self, loaded: Loaded, types: ObjectTypes, sizes: Sizes, mechanism: str, operations: int, procfs: str | None) -> None:
        self.mechanism, self.capacity = mechanism, sizes.cells
        self._loaded, self._sizes = loaded, sizes
        self._cells, self._keys, self._infos = (loaded.memory(name) for name in ("cells", "cell_keys", "cell_infos"))
        self._ledger, self._variables = loaded.memory("ledger"), loaded.memory(".bss")
        self.slots = Slots(loaded.memory("slots"), types.struct("op_slot"), procfs)
        self._info_size = types.struct("cell_info").size
        self._shard = types.struct("ledger_shard").unpacker("counter")
        self._thresholds = types.variable("thresholds").field
        self._counters = enum_labels("ledger_counter", types.enum("ledger_counter"), exclude=frozenset({"LEDGER_COUNTERS"}))
        self._states = {label: number for number, label in enum_labels("cell_state", types.enum("cell_state")).items()}
        self._key_layout = types.struct("cell_key")
        self._key = self._key_layout.unpacker("owner", "object", "operation")
        self._layout = _harvest_layout(types.struct("cell"), self._key_layout, sizes)
        reserved = self._thresholds.count  # one `other` cell an operation
        self._set_up_cells(reserved, operations)
        self.usable = sizes.cells - reserved + operations

    def harvest(self, bindings: array[int], rows: array[int], slow: array[int]) -> list[int]:
        """Move every count into the rows that the cells are bound to; return the cells in use that are bound to none."""
        return _native.harvest(self._cells, self._keys, bindings, rows, slow, self._layout)

    def key(self, index: int) -> CellKey:
        """Return what a cell stands for; owner 0 is the `other` cell of its operation."""
        return CellKey(*self._key.unpack_from(self._keys, index * self._key_layout.size))

    def info(self, index: int) -> bytes:
        """Return the ``struct cell_info`` of a cell."""
        return self._infos[index * self._info_size : (index + 1) * self._info_size]

    def kill(self, index: int) -> None:
        """Mark a cell dead, so that no operation finds it any more; what is still added to it is harvested."""
        at = index * self._key_layout.size
        self._loaded.delete("cell_index", self._keys[at : at + self._key_layout.size])
        self._set_state(index, "dead")

    def give_back(self, index: int) -> None:
        """Return a dead cell, harvested since, to the kernel's free list."""
        self._set_state(index, "free")
        if not self._loaded.update("free_cells", None, struct.pack("=I", index)):
            raise ProbeError(f"cell {index} cannot be given back", "report this as a bug: the free list is larger than its table")

    def set_thresholds(self, thresholds: Sequence[int]) -> None:
        """Set the slow threshold of each operation, in ns, while the programs run."""
        filled = [*thresholds, *[_UNREACHABLE] * (self._thresholds.count - len(thresholds))]
        struct.pack_into(f"={self._thresholds.count}Q", self._variables, self._thresholds.offset, *filled)

    def counters(self) -> Mapping[str, int]:
        """Return the ledger's counters, summed over the shards."""
        shards = [self._shard.unpack_from(self._ledger, i * self._shard.size) for i in range(self._sizes.shards)]
        return {label: sum(shard[number] for shard in shards) for number, label in self._counters.items()}

    def ledger(self) -> tuple[int, dict[str, int], int, int, dict[str, int]]:
        """Return (entered, outcomes without the aggregated ones, in flight, missed, details)."""
        in_flight = self.slots.in_flight()
        counted = self.counters()
        outcomes = {name: counted[name] for name in _OUTCOMES}
        outcomes["died"] += self.slots.died
        in_flight += counted["overflow_entered"] - counted["overflow_left"]
        return counted["entered"], outcomes, in_flight, self._loaded.missed(), {name: counted[name] for name in _DETAILS}

    def run(self, program: str, arguments: bytes) -> int:
        """Run one of the object's programs by hand; see Loaded.run."""
        return self._loaded.run(program, arguments)

    def attach(self) -> None:
        """Attach the programs; ProbeError when the kernel refuses one."""
        self._loaded.attach()

    def detach(self) -> None:
        """Detach the programs and keep the memory: what was counted can still be harvested."""
        self._loaded.detach()

    def close(self) -> None:
        """Detach, unmap and unload."""
        self._loaded.close()

    def _set_state(self, index: int, state: str) -> None:
        struct.pack_into("=I", self._keys, index * self._key_layout.size + self._key_layout["state"].offset, self._states[state])

    def _set_up_cells(self, reserved: int, operations: int) -> None:
        for index in range(operations):
            struct.pack_into("=I", self._keys, index * self._key_layout.size + self._key_layout["operation"].offset, index)
            self._set_state(index, "live")
        for index in range(reserved, self._sizes.cells):
            self.give_back(index)


def _harvest_layout(cell: Layout, key: Layout, sizes: Sizes) -> tuple[int, int, int, int, int, int, int, int, int]:
    offsets = (cell["sum"].offset, cell["slow"].offset, cell["slow_sum"].offset)
    return (cell.size, cell["bucket"].offset, cell["bucket"].count, *offsets, sizes.shards, key.size, key["state"].offset)


def _knobs(types: ObjectTypes, host: Host, sizes: Sizes) -> dict[str, bytes]:
    bounds = bucket_bounds()
    table = types.variable("bounds").field
    return {
        "bounds": struct.pack(f"={table.count}Q", *bounds, *[_UNREACHABLE] * (table.count - BUCKETS)),
        "read_by_cast": struct.pack("=?", host.read_by_cast),
        "owner_by_memory": struct.pack("=?", host.owner_by_memory),
        "shard_mask": struct.pack("=I", sizes.shards - 1),
        "slot_mask": struct.pack("=I", sizes.slots - 1),
    }


def _plan(path: Path, types: ObjectTypes, host: Host, sizes: Sizes, rung: Rung, extra: tuple[str, ...]) -> Plan:
    entries = {
        "cells": sizes.cells * sizes.shards,
        "cell_keys": sizes.cells,
        "cell_infos": sizes.cells,
        "cell_index": sizes.cells,
        "free_cells": sizes.cells,
        "slots": sizes.slots,
        "ledger": sizes.shards,
    }
    return Plan(path, (*rung.programs, *extra), rung.programs, _knobs(types, host, sizes), types.variables, entries)


def _try(plan: Plan, types: ObjectTypes, sizes: Sizes, rung: Rung, procfs: str | None, thresholds: Sequence[int]) -> AttachedProbe:
    loaded = load(plan)
    try:
        attached = AttachedProbe(loaded, types, sizes, rung.name, len(thresholds), procfs)
        attached.set_thresholds(thresholds)
        attached.attach()
    except BaseException:
        loaded.close()
        raise
    return attached


def _require(host: Host, path: Path) -> None:
    if not host.may_load:
        missing = " and ".join(sorted({"CAP_BPF", "CAP_PERFMON"} - host.capabilities))
        raise ProbeError(f"{missing} missing", f"run as root, or grant {missing} (docs/troubleshooting.md#capabilities)")
    if host.btf is None:
        raise ProbeError(
            "this kernel has no BTF at /sys/kernel/btf/vmlinux", "use a kernel with CONFIG_DEBUG_INFO_BTF=y (docs/troubleshooting.md#btf)"
        )
    if not os.access(path, os.R_OK):
        raise ProbeError(f"{path} is missing", "run make, or reinstall perflens")


def attach(
    name: str,
    probe: Probe,
    host: Host,
    *,
    rung: str,
    sizes: Sizes,
    thresholds: Sequence[int],
    procfs: str = "/proc",
    extra: tuple[str, ...] = (),
    objects: Path | None = None,
) -> AttachedProbe:
    """Attach a probe by the first rung that works (``rung`` auto) or by the one that is named.

    ``thresholds`` holds the slow threshold in ns of each of its operations, in the order of their numbers.
    ``extra`` programs are loaded beside, for ``run``. ProbeError with every rung's reason when none works.
    """
    path = object_path(name, host.machine, objects)
    _require(host, path)
    types = object_types(path)
    reasons = []
    for candidate in probe.rungs:
        if rung in ("auto", candidate.name):
            try:
                return _try(
                    _plan(path, types, host, sizes, candidate, extra),
                    types,
                    sizes,
                    candidate,
                    procfs if host.sees_all_processes else None,
                    thresholds,
                )
            except ProbeError as error:
                reasons.append((candidate.name, error))
    if not reasons:
        raise ProbeError(f"{name} has no rung {rung}", f"use one of auto, {', '.join(rung.name for rung in probe.rungs)}")
    if len(reasons) == 1:
        raise reasons[0][1]
    raise ProbeError("; ".join(f"{tried}: {error.reason}" for tried, error in reasons), reasons[-1][1].cure)
