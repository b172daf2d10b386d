"""A probe that runs: its kernel side, its accumulators and the decoder of its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from perflens.agent.filters import VERDICTS, names_of
from perflens.aggregate.exemplars import Exemplars
from perflens.aggregate.family import Family
from perflens.config import Settings
from perflens.decode.cells import cell_info_decoder
from perflens.decode.events import EventDecoder, EventLayouts
from perflens.decode.processes import ProcessDecoder
from perflens.decode.requests import RequestDecoder
from perflens.decode.sums import SummingDecoder
from perflens.enrich.owners import Owners
from perflens.errors import LayoutError, ProbeError
from perflens.kernel.attach import Tuning, attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import Host
from perflens.kernel.loaders import choose
from perflens.kernel.slots import SlotReading
from perflens.layout import enum_labels
from perflens.model import OTHER, CellKey, EventCounts, Exemplar, LedgerReading, ProbeState, SeriesKey, SlowEvent
from perflens.probe import Probe

__all__ = [
    "Running",
    "RunningDurations",
    "RunningOperations",
    "RunningProcesses",
    "RunningRequests",
    "event_budget",
    "note_from",
    "operations_of",
    "start",
    "try_rungs",
]

_SECOND = 1_000_000_000
_NEVER = 2**63 - 1
_OF_THRESHOLD, _NOTED_AT_LAST = 8, 1_000_000  # ns


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


def note_from(settings: Settings, probes: Mapping[str, Probe], machine: str) -> list[int]:
    """Return the variable of the kernel side from which on a request is noted for its operation: an eighth of the least threshold of
    those that show their requests, 1 ms at most."""
    least = _NOTED_AT_LAST * _OF_THRESHOLD
    for name, probe in probes.items():
        if probe.requests:
            with suppress(LayoutError):  # its own start tells
                least = min(least, *thresholds_of(settings, name, probe, operations_of(name, probe, machine)))
    return [least // _OF_THRESHOLD]


class Running:
    """A probe that is attached. The worker thread owns all of it but the ring, the decoder and the exemplars."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        self.name, self.probe, self.kernel, self._owners = name, probe, kernel, owners
        self.types = object_types(object_path(name, machine))
        self.operations = operations_of(name, probe, machine)
        self.has_owner = settings.owner.level != "node"
        self._decode = cell_info_decoder(self.types.struct("cell_info"))
        self.family = Family(
            kernel,
            self._name_cell,
            self._is_named,
            limit=settings.series.limit,
            has_owner=self.has_owner,
            counted=probe.counted,
        )
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
        self.ledger = LedgerReading(entered, outcomes, in_flight, missed, details, slots.unlisted, self.kernel.attributed())

    def owner_label(self, owner_id: int) -> str:
        """Return the owner of a series."""
        return self._owners.resolve(owner_id, (), complete=False).name if self.has_owner else ""

    def _is_named(self, cell: int) -> bool:
        return self._decode(self.kernel.info(cell)).complete

    def _name_cell(self, cell: int, key: CellKey) -> SeriesKey | None:
        operation = self.operations[key.operation]
        if not key.owner:
            return SeriesKey(operation, OTHER, OTHER if self.has_owner else "", key.part)
        info = self._decode(self.kernel.info(cell))
        owner = self._owners.resolve(key.owner, info.path, complete=info.complete)
        if not self._owners.is_settled(owner):
            return None
        return SeriesKey(operation, info.object_name or "unknown", owner.name if self.has_owner else "", key.part)


class RunningDurations(Running):
    """A family of durations, whose slow operations are events."""

    decoder: SummingDecoder

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        self.exemplars = Exemplars(settings.series.limit * len(probe.parts))

    def longest(self) -> Mapping[SeriesKey, int]:
        """Return the age in ns of the oldest operation in flight past its threshold, by operation and owner."""
        found: dict[SeriesKey, int] = {}
        for own in self.old:
            key = SeriesKey(self.operations[own.operation], "", self.owner_label(own.owner))
            found[key] = max(found.get(key, 0), own.age)
        return found

    def put_exemplar(self, event: SlowEvent, owner: str, exemplar: Exemplar) -> None:
        """Show a span at the histogram series that its event was counted in."""
        self.exemplars.put(SeriesKey(event.operation, event.object_name, owner if self.has_owner else ""), exemplar)


class RunningOperations(RunningDurations):
    """A family of operations of threads."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        self.is_shown = False  # whether operations in progress are shown
        structs = (self.types.struct(struct) for struct in ("event", "wait_interval", "event_frame", "request_note"))
        kinds = enum_labels("event_kind", self.types.enum("event_kind"))
        requests = enum_labels(probe.requests, self.types.enum(probe.requests)) if probe.requests else {}
        self.decoder: EventDecoder = EventDecoder(name, EventLayouts(*structs), self.operations, kernel.wait_reasons, kinds, requests)

    def in_progress(self) -> Iterator[SlowEvent]:
        """Yield the operations that have not ended; ProbeError when the kernel cannot tell."""
        return self.decoder.several(self.kernel.in_progress())


class RunningRequests(RunningDurations):
    """A family of requests, which belong to no thread once they are submitted."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        self.decoder = RequestDecoder(name, self.types.struct("event"), self.operations)

    def put_exemplar(self, event: SlowEvent, owner: str, exemplar: Exemplar) -> None:
        """Show a span at the part that took longest, with the time of that part."""
        parts = tuple(event.blocked.values())  # in the order of the family's
        longest = parts.index(max(parts))
        key = SeriesKey(event.operation, event.object_name, owner if self.has_owner else "", longest)
        self.exemplars.put(key, exemplar._replace(value=parts[longest]))


class RunningProcesses(Running):
    """The family of processes and cgroups that come and go, each of them an event."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        super().__init__(name, probe, kernel, machine, owners, settings)
        kinds = enum_labels("process_event_kind", self.types.enum("process_event_kind"))
        self.decoder = ProcessDecoder(self.types.struct("process_event"), self.types.struct("cgroup_event"), kinds)


def start(
    name: str,
    probe: Probe,
    host: Host,
    settings: Settings,
    tuning: Tuning,
    rung: str = "",
    shared: Mapping[str, int] = MappingProxyType({}),
) -> AttachedProbe:
    """Attach a probe as the settings say, with these tables of another; ProbeError or LayoutError when it cannot be."""
    rung = rung or settings.probes[name].attach
    sizes = replace(Sizes.of(host, settings.cells), verdicts=VERDICTS if names_of(settings) else 1)
    thresholds = thresholds_of(settings, name, probe, operations_of(name, probe, host.machine))
    tuning = replace(tuning, variables={**tuning.variables, **event_budget(settings)})
    procfs = settings.path.procfs
    if choose(settings.loader, host).name == "bcc":
        from perflens.kernel import bcc_loader  # most hosts never need it

        return bcc_loader.attach(name, probe, host, rung=rung, sizes=sizes, thresholds=thresholds, tuning=tuning, procfs=procfs)
    return attach(name, probe, host, rung=rung, sizes=sizes, thresholds=thresholds, tuning=tuning, procfs=procfs, shared=shared)


def try_rungs(name: str, probe: Probe, host: Host, settings: Settings) -> list[ProbeState]:
    """Attach a probe by each of its rungs in turn, and let go at once; return how each went. The bcc loader has one of its own."""
    found = []
    for mechanism in ("bcc",) if choose(settings.loader, host).name == "bcc" else probe.mechanisms:
        try:
            kernel = start(name, probe, host, settings, Tuning(), mechanism)
            programs = frozenset(kernel.programs())
            kernel.close()
            found.append(ProbeState(name, attached=True, mechanism=mechanism, waits=kernel.has_waits, programs=programs))
        except (ProbeError, LayoutError) as error:
            found.append(ProbeState(name, attached=False, mechanism=mechanism, reason=error.reason, cure=error.cure))
    return found
