"""A probe that runs: its kernel side, its accumulators and the decoder of its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from perflens.aggregate.exemplars import Exemplars
from perflens.aggregate.family import Family
from perflens.config import Settings
from perflens.decode.cells import cell_info_decoder
from perflens.decode.events import EventDecoder, EventLayouts
from perflens.decode.processes import ProcessDecoder
from perflens.enrich.owners import Owners
from perflens.errors import LayoutError, ProbeError
from perflens.kernel.attach import Tuning, attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import Host
from perflens.kernel.slots import SlotReading
from perflens.layout import enum_labels
from perflens.model import OTHER, CellKey, EventCounts, LedgerReading, ProbeState, SeriesKey, SlowEvent
from perflens.probe import Probe

__all__ = ["Running", "RunningOperations", "RunningProcesses", "event_budget", "operations_of", "start", "try_rungs"]

_SECOND = 1_000_000_000
_NEVER = 2**63 - 1


def operations_of(name: str, probe: Probe, machine: str) -> Mapping[int, str]:
    """Return a probe's operations by number, from the BTF of its object; LayoutError when the object is missing or wrong."""
    types = object_types(object_path(name, machine))
    return enum_labels(probe.operations, types.enum(probe.operations))


def event_budget(settings: Settings) -> dict[str, list[int]]:
    """Return the variables of the kernel side that say which slow operations become events."""
    interval = _SECOND // settings.events.rate if settings.events.rate else 0
    return {
        "event_interval": [interval],
        "event_burst": [interval * settings.events.burst],
        "in_progress_after": [settings.events.in_progress_after],
    }


def thresholds_of(settings: Settings, name: str, probe: Probe, operations: Mapping[int, str]) -> list[int]:
    """Return the slow threshold of each operation in ns; what only counts is never slow."""
    own = settings.probes[name].thresholds
    return [own.get(operations[number], settings.threshold) if probe.has_durations else _NEVER for number in sorted(operations)]


class Running:
    """A probe that is attached. The worker thread owns all of it but the ring, the decoder and the exemplars."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        self.name, self.probe, self.kernel, self._owners = name, probe, kernel, owners
        self.types = object_types(object_path(name, machine))
        self.operations = operations_of(name, probe, machine)
        self.has_owner = settings.owner.level != "node"
        self._decode = cell_info_decoder(self.types.struct("cell_info"))
        self.family = Family(kernel, self._name_cell, limit=settings.series.limit, has_owner=self.has_owner)
        self.old: tuple[SlotReading, ...] = ()
        self.set_thresholds(settings)
        self.harvest()

    def set_thresholds(self, settings: Settings) -> None:
        """Take what a reload may change."""
        thresholds = thresholds_of(settings, self.name, self.probe, self.operations)
        self._least = min(thresholds)
        self.kernel.set_thresholds(thresholds)
        self.kernel.tune(event_budget(settings))

    def harvest(self) -> None:
        """Bring the accumulators up to date, and read the ledger in the same moment: rendering would open it by what happens meanwhile."""
        self.family.harvest()
        slots = self.kernel.slots.read(self._least)
        entered, outcomes, in_flight, missed, details = self.kernel.ledger(slots)
        aggregated, other = self.family.counts()
        self.old = slots.old
        self.events = EventCounts(**self.kernel.events())
        outcomes = {"aggregated": aggregated, "other": other, **outcomes}
        self.ledger = LedgerReading(entered, outcomes, in_flight, missed, details, slots.unlisted)

    def owner_label(self, owner_id: int) -> str:
        """Return the owner of a series."""
        return self._owners.resolve(owner_id, (), complete=False).unit if self.has_owner else ""

    def _name_cell(self, cell: int, key: CellKey) -> SeriesKey:
        operation = self.operations[key.operation]
        if not key.owner:
            return SeriesKey(operation, OTHER, OTHER if self.has_owner else "")
        info = self._decode(self.kernel.info(cell))
        owner = self._owners.resolve(key.owner, info.path, complete=info.complete)
        return SeriesKey(operation, info.object_name or "unknown", owner.unit if self.has_owner else "")


class RunningOperations(Running):
    """A family of durations, whose slow operations are events."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        self.exemplars = Exemplars(settings.series.limit)
        self.is_shown = False  # whether operations in progress are shown
        structs = (self.types.struct(struct) for struct in ("event", "wait_interval", "event_frame"))
        kinds = enum_labels("event_kind", self.types.enum("event_kind"))
        self.decoder = EventDecoder(name, EventLayouts(*structs), self.operations, kernel.wait_reasons, kinds)

    def longest(self) -> Mapping[SeriesKey, int]:
        """Return the age in ns of the oldest operation in flight past its threshold, by operation and owner."""
        found: dict[SeriesKey, int] = {}
        for own in self.old:
            key = SeriesKey(self.operations[own.operation], "", self.owner_label(own.owner))
            found[key] = max(found.get(key, 0), own.age)
        return found

    def in_progress(self) -> Iterator[SlowEvent]:
        """Yield the operations that have not ended; ProbeError when the kernel cannot tell."""
        return self.decoder.several(self.kernel.in_progress())

    def series_of(self, event: SlowEvent, owner: str) -> SeriesKey:
        """Return the histogram series that an event was counted in."""
        return SeriesKey(event.operation, event.object_name, owner if self.has_owner else "")


class RunningProcesses(Running):
    """The family of processes and cgroups that come and go, each of them an event."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        kinds = enum_labels("process_event_kind", self.types.enum("process_event_kind"))
        self.decoder = ProcessDecoder(self.types.struct("process_event"), self.types.struct("cgroup_event"), kinds)


def start(name: str, probe: Probe, host: Host, settings: Settings, tuning: Tuning, rung: str = "") -> AttachedProbe:
    """Attach a probe as the settings say; ProbeError or LayoutError when it cannot be."""
    return attach(
        name,
        probe,
        host,
        rung=rung or settings.probes[name].attach,
        sizes=Sizes.of(host, settings.cells),
        thresholds=thresholds_of(settings, name, probe, operations_of(name, probe, host.machine)),
        tuning=replace(tuning, variables={**tuning.variables, **event_budget(settings)}),
        procfs=settings.path.procfs,
    )


def try_rungs(name: str, probe: Probe, host: Host, settings: Settings) -> list[ProbeState]:
    """Attach a probe by each of its rungs in turn, and let go at once; return how each went."""
    found = []
    for rung in probe.rungs:
        try:
            kernel = start(name, probe, host, settings, Tuning(), rung.name)
            kernel.close()
            found.append(ProbeState(name, attached=True, mechanism=rung.name, waits=kernel.has_waits))
        except (ProbeError, LayoutError) as error:
            found.append(ProbeState(name, attached=False, mechanism=rung.name, reason=error.reason, cure=error.cure))
    return found
