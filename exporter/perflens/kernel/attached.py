"""A probe that is attached: its cells, slots and ledger in memory that the kernel writes and the agent reads."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel import _native
from perflens.kernel.btf import ObjectTypes, read_object
from perflens.kernel.features import Host
from perflens.kernel.programs import Programs
from perflens.kernel.slots import Slots, SlotsReading
from perflens.kernel.variables import Variables
from perflens.layout import Layout, enum_labels
from perflens.model import CellKey
from perflens.probe import Probe, Rung

__all__ = ["IN_PROGRESS", "REQUEST_IS_OVER", "SHARED", "AttachedProbe", "Sizes", "object_path", "object_types"]

_STRUCTS = frozenset(
    {
        *("cell", "cell_info", "cell_key", "ledger_shard", "op_slot", "request_slot", "wait_frame"),
        *("event", "event_frame", "request_note", "wait_interval"),
        *("process_event", "cgroup_event"),
    }
)
_ATTRIBUTED = "by_"  # how the counters begin that say by which method the owner of a request was found
_DETAILS = {
    "slots": ("overlong", "no_cell", "slot_collision", "name_truncated", "sleep_not_noted"),
    "requests": ("overlong", "no_cell", "slot_collision", "name_truncated", "requeued", "held_unknown", "layer_not_noted"),
}
_EVENTS = ("emitted", "suppressed", "ring_full", "buffer_busy")
_OUTCOMES = {
    "slots": ("blocking_peer", "filtered", "undecided", "no_slot", "died"),
    "requests": ("filtered", "undecided", "no_slot", "died", "merged"),
}
SHARED = ("slots", "thread_requests", "throttled_bios", "throttled_count")
_UNREACHABLE = 2**63 - 1  # the threshold of operations that do not exist
IN_PROGRESS = "event_in_progress"
REQUEST_IS_OVER = "block_request_is_over"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the shared tables are: cells, slots, shards of each cell and bytes of the ring; all but the cells are powers of two.

    ``verdicts`` are cgroups that a filter by names tells apart.
    """

    cells: int
    slots: int
    shards: int
    ring: int = 1 << 23
    verdicts: int = 1

    @classmethod
    def of(cls, host: Host, cells: int) -> Sizes:
        """Fit the tables to the host; the formula is in docs/memory.md."""
        return cls(cells, 1 << (min(host.pid_max, 65_536) - 1).bit_length(), 1 << (min(host.possible_cpus, 8) - 1).bit_length())

    def fit(self, probe: Probe) -> Sizes:
        """Return what of it a probe takes: no more than it declares, and one slot where nothing lasts."""
        cells = min(self.cells, probe.cells or self.cells)
        slots = self.slots if probe.has_durations else 1
        return Sizes(cells, slots, min(self.shards, probe.shards), min(self.ring, probe.ring), self.verdicts)


def object_path(name: str, machine: str, folder: Path | None = None, *, kind: str = "bpf") -> Path:
    """Return where the compiled object of a probe lies for an architecture; ``kind`` is one of ``Host.objects``."""
    return (folder or Path(__file__).parent.parent / "objects") / machine / f"{name}.{kind}.o"


@cache
def object_types(path: Path) -> ObjectTypes:
    """Read the shared structs, the enums and the variables of a probe's object, once: it does not change under a running agent."""
    return read_object(path, _STRUCTS)


class AttachedProbe:
    """The shared memory of one probe. Only the agent's worker thread calls it."""

    def __init__(
        self, loaded: Programs, types: ObjectTypes, sizes: Sizes, probe: Probe, rung: Rung, operations: int, procfs: str | None
    ) -> None:
        self.mechanism, self.has_waits, self.capacity = rung.name, bool(rung.waits), sizes.cells
        self._loaded, self._sizes = loaded, sizes
        self._at_switches = next((name for name in rung.either if "_switch_" in name), "")
        self._cells, self._keys, self._infos = (loaded.memory(name) for name in ("cells", "cell_keys", "cell_infos"))
        self._ledger = loaded.memory("ledger")
        self.variables = Variables(loaded.memory(".bss"), types)
        self.ring = loaded.ring("events", sizes.ring)
        self._in_flight = probe.in_flight
        self.slots = _slots(loaded, types, probe, procfs)
        self._info_size = types.struct("cell_info").size
        self._shard = types.struct("ledger_shard").unpacker("counter")
        self._thresholds = types.variable("thresholds").field
        self._frames = loaded.memory("wait_frames") if "wait_frame" in types.structs else bytearray()
        self.wait_reasons = _wait_reasons(types)
        self._counters = enum_labels("ledger_counter", types.enum("ledger_counter"), exclude=frozenset({"LEDGER_COUNTERS"}))
        self._verdicts = {label: number for number, label in enum_labels("filter_verdict", types.enum("filter_verdict")).items()}
        self._states = {label: number for number, label in enum_labels("cell_state", types.enum("cell_state")).items()}
        self._key_layout = types.struct("cell_key")
        self._key = self._key_layout.unpacker("owner", "object", "operation")
        self._layout = _harvest_layout(types.struct("cell"), self._key_layout, sizes)
        self.usable = self._set_up_cells(max(len(probe.parts), 1), operations)

    def harvest(self, bindings: array[int], rows: array[int], slow: array[int]) -> list[int]:
        """Move every count into the rows that the cells are bound to; return the cells in use that are bound to none."""
        return _native.harvest(self._cells, self._keys, bindings, rows, slow, self._layout)

    def key(self, index: int) -> CellKey:
        """Return what a cell stands for; owner 0 is the `other` cell of its operation."""
        owner, opaque, number = self._key.unpack_from(self._keys, index * self._key_layout.size)
        part, operation = divmod(number, self._thresholds.count)
        return CellKey(owner, opaque, operation, part)

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
        self.variables.set("thresholds", [*thresholds, *[_UNREACHABLE] * (self._thresholds.count - len(thresholds))])

    def tune(self, variables: Mapping[str, Sequence[int]]) -> None:
        """Set variables by name while the programs run; those that this probe does not have are left out."""
        for name, values in variables.items():
            if name in self.variables:
                self.variables.set(name, values)

    def decide(self, cgroup_id: int, verdict: str) -> None:
        """Let the filter by names take a cgroup for ``wanted``, ``unwanted`` or ``undecided``, or forget it when the verdict is empty."""
        key = struct.pack("=Q", cgroup_id)
        if not verdict:
            self._loaded.delete("filter_verdicts", key)
        elif not self._loaded.update("filter_verdicts", key, struct.pack("=I", self._verdicts[verdict])):
            raise ProbeError(f"cgroup {cgroup_id} cannot be filtered", "report this as a bug: the table is larger than what is put into it")

    def set_wait_frames(self, ranges: Sequence[tuple[int, int, str]]) -> int:
        """Name the functions in which a sleep has a reason: (first address, end, reason). Return how many had no room.

        A probe without waits has no use for them. While it runs, a sleep that ends in the middle of a change may get another's reason.
        """
        if not self._frames:
            return 0
        numbers = {reason: number for number, reason in enumerate(self.wait_reasons)}
        pack = struct.Struct("=3Q")  # struct wait_frame
        room = len(self._frames) // pack.size
        table = b"".join(pack.pack(first, end, numbers[reason]) for first, end, reason in sorted(ranges)[:room])
        self._frames[:] = table.ljust(len(self._frames), b"\0")
        return max(len(ranges) - room, 0)

    def in_progress(self) -> bytes:
        """Return the events of the operations that have been in flight for long, one after the other; ProbeError when it cannot be told."""
        return self._loaded.iterate(IN_PROGRESS)

    def counters(self) -> Mapping[str, int]:
        """Return the ledger's counters, summed over the shards."""
        shards = [self._shard.unpack_from(self._ledger, i * self._shard.size) for i in range(self._sizes.shards)]
        return {label: sum(shard[number] for shard in shards) for number, label in self._counters.items()}

    def events(self) -> dict[str, int]:
        """Return what became of the slow operations as events, by outcome."""
        counted = self.counters()
        return {name: counted[name] for name in _EVENTS}

    @property
    def overflowing(self) -> int:
        """How many operations are in flight beside the slots, in threads whose slot another one had."""
        return self._overflowing(self.counters())

    @staticmethod
    def _overflowing(counted: Mapping[str, int]) -> int:
        return counted["overflow_entered"] - counted["overflow_left"]

    def ledger(self, slots: SlotsReading) -> tuple[int, dict[str, int], int, dict[tuple[str, str], int], dict[str, int]]:
        """Return (entered, outcomes without the aggregated ones, in flight, missed, details)."""
        counted = self.counters()
        in_flight = slots.in_flight
        outcomes = {name: counted[name] for name in _OUTCOMES[self._in_flight]}
        outcomes["died"] += self.slots.died
        in_flight += self._overflowing(counted)
        details = {name: counted[name] for name in _DETAILS[self._in_flight]}
        return counted["entered"] + slots.begun, outcomes, in_flight, self._loaded.missed(), details

    def attributed(self) -> dict[str, int]:
        """Return of how many requests the owner was found by each method; nothing for operations, which are their thread's."""
        if self._in_flight == "slots":
            return {}
        return {name.removeprefix(_ATTRIBUTED): count for name, count in self.counters().items() if name.startswith(_ATTRIBUTED)}

    @property
    def looks_at_switches(self) -> bool:
        """Whether it has a program at the switches of threads that another probe's may do the work of (throttled.h)."""
        return self._loaded.is_attached(self._at_switches)

    def leave_switches(self) -> None:
        """Leave that work to the other probe."""
        self._loaded.let_go(self._at_switches)

    def shared(self) -> dict[str, int]:
        """Return the tables that another probe may use too, as file descriptors by name."""
        return {name: self._loaded.map_fd(name) for name in SHARED}

    def programs(self) -> dict[str, int]:
        """Return the file descriptors of the programs that are attached, by name."""
        return self._loaded.programs()

    def run(self, program: str, arguments: bytes) -> int:
        """Run one of the object's programs by hand; see Loaded.run."""
        return self._loaded.run(program, arguments)

    def attach(self) -> None:
        """Attach the programs; ProbeError when the kernel refuses one."""
        self._loaded.attach()

    def settle(self) -> None:
        """Let go of what only attaching takes: it will not be attached again."""
        self._loaded.settle()

    def detach(self) -> None:
        """Detach the programs and keep the memory: what was counted can still be harvested."""
        self._loaded.detach()

    def close(self) -> None:
        """Detach, unmap and unload."""
        self._loaded.close()

    def _set_state(self, index: int, state: str) -> None:
        struct.pack_into("=I", self._keys, index * self._key_layout.size + self._key_layout["state"].offset, self._states[state])

    def _set_up_cells(self, parts: int, operations: int) -> int:
        """Make an `other` cell of each operation in each part, and the others free; return how many of all can be used."""
        apart = self._thresholds.count
        for index in range(parts * apart):
            if index % apart < operations:
                struct.pack_into("=I", self._keys, index * self._key_layout.size + self._key_layout["operation"].offset, index)
                self._set_state(index, "live")
        for index in range(parts * apart, self._sizes.cells):
            self.give_back(index)
        return self._sizes.cells - parts * (apart - operations)


def _slots(loaded: Programs, types: ObjectTypes, probe: Probe, procfs: str | None) -> Slots:
    """What is in flight. A request outlives the thread that submitted it: whether it is over, the request itself tells."""
    if probe.in_flight == "requests":
        layout = types.struct("request_slot")
        request = layout.unpacker("request")

        def is_over(slot: bytes) -> bool:
            with suppress(ProbeError):  # may the programs not be run by hand, its age tells what it can
                return bool(loaded.run(REQUEST_IS_OVER, struct.pack("=Q", *request.unpack_from(slot))))
            return False

        return Slots(loaded.memory("requests"), layout, None, lambda _: None, is_over)
    return Slots(loaded.memory("slots"), types.struct("op_slot"), procfs, lambda tid: loaded.delete("sleeps", tid))


def _wait_reasons(types: ObjectTypes) -> tuple[str, ...]:
    """What the cells of a probe tell its operations waited for, in the order of their columns."""
    if "wait" not in types.struct("cell").fields:
        return ()
    return tuple(enum_labels("wait_reason", types.enum("wait_reason"), exclude=frozenset({"WAIT_REASONS"})).values())


def _harvest_layout(cell: Layout, key: Layout, sizes: Sizes) -> tuple[int, int, int, int, int, int, int, int, int, int, int]:
    waits = (cell["wait"].offset, cell["wait"].count) if "wait" in cell.fields else (0, 0)
    sums = (cell["sum"].offset, cell["slow"].offset, cell["slow_sum"].offset, *waits)
    return (cell.size, cell["bucket"].offset, cell["bucket"].count, *sums, sizes.shards, key.size, key["state"].offset)
