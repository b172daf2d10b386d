"""The families of the metrics page, over the accumulators of the probes that run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf

from perflens.agent.running import Running, RunningDurations
from perflens.export.prometheus import families
from perflens.export.prometheus.devices import Devices, device_families
from perflens.export.prometheus.families import Sample, Wide
from perflens.export.prometheus.form import Labels, Render
from perflens.export.prometheus.page import Collector
from perflens.model import OTHER, SLOW_WIDTH, AgentStatus, PodVolume, SeriesKey
from perflens.owner_levels import OwnerLabels
from perflens.probe import Counter as Declared
from perflens.probe import Histogram, Total
from perflens.selfmetrics import SelfMetrics

__all__ = ["collectors"]


def collectors(
    running: Sequence[Running],
    owner: OwnerLabels,
    nanoseconds_an_operation: float,
    devices: Devices,
    volumes: Callable[[], Sequence[PodVolume]],
    status: Callable[[], AgentStatus],
) -> list[Collector]:
    """Return every collector; ``owner`` gives the labels of an owner's name, ``volumes`` those of pods."""
    slow = [own for own in running if isinstance(own, RunningDurations)]
    return [
        *(Collector(own.name, _own(own, owner)) for own in running),
        Collector("slow_operations", families.slow_families({own.name: own.family.slow for own in slow}, owner)),
        Collector("waits", _waits(slow, owner)),
        Collector("in_flight", _in_flight(slow, owner)),
        Collector("overhead", _overhead(slow, owner, nanoseconds_an_operation)),
        Collector("devices", device_families(devices, volumes)),
        Collector("self", SelfMetrics(status).render),
    ]


def _own(own: Running, owner: OwnerLabels) -> Render:
    parts = [_part(own, number, part, owner) for number, part in enumerate(own.probe.parts)]
    return families.together([*parts, *(_counter(own, operation, counter, owner) for operation, counter in own.probe.counters.items())])


def _part(own: Running, number: int, part: Histogram | Total, owner: OwnerLabels) -> Render:
    if isinstance(part, Total):
        return families.total_family(part, own.family.histograms, owner, number)
    exemplars = own.exemplars.of if isinstance(own, RunningDurations) else None
    return families.histogram_family(part, own.family.histograms, owner, exemplars, number)


def _counter(own: Running, operation: str, counter: Declared, owner: OwnerLabels) -> Render:
    table = own.family.histograms

    def samples() -> Iterator[Sample]:
        counts, since = Counter[str](), dict[str, float]()
        for key, count in sorted(table.items()):
            if key.operation == operation:  # without owners the `other` series has no labels either
                counts[key.owner] += count
                since[key.owner] = min(table.created(key), since.get(key.owner, inf))
        for name, count in counts.items():
            if count or name != OTHER:
                yield Sample(owner(name), count, since[name])

    return families.counter_family(f"perflens_{counter.name}", counter.help, samples)


def _waits(running: Sequence[RunningDurations], owner: OwnerLabels) -> Render:
    def wide(own: Running) -> Wide:
        reasons = own.kernel.wait_reasons

        def labels(key: SeriesKey, column: int) -> Labels:
            return (("probe", own.name), ("operation", key.operation), ("reason", reasons[column]), *owner(key.owner))

        return Wide(own.family.slow, SLOW_WIDTH, len(reasons), labels)

    text = "Time that operations spent off the CPU, slow or not, by what they waited for."
    return families.wide_family("perflens_operation_wait_seconds_total", text, list(map(wide, running)), nanoseconds=True)


def _in_flight(running: Sequence[RunningDurations], owner: OwnerLabels) -> Render:
    def samples() -> Iterator[Sample]:
        for own in running:
            for key, age in own.longest().items():
                yield Sample((("probe", own.name), ("operation", key.operation), *owner(key.owner)), age)

    text = "Age of the oldest operation in flight, of those past their threshold."
    return families.gauge_family("perflens_oldest_in_flight_seconds", text, samples, nanoseconds=True)


def _overhead(running: Sequence[RunningDurations], owner: OwnerLabels, nanoseconds_an_operation: float) -> Render:
    known: dict[str, tuple[int, int]] = {}  # operations in the series of an owner, and those of its series that have expired

    def samples() -> Iterator[Sample]:
        counts: Counter[str] = Counter()
        for own in running:
            counts += own.family.operations_by_owner()
        before = dict(known)
        known.clear()
        for name, count in sorted(counts.items()):
            last, expired = before.get(name, (0, 0))
            expired += max(last - count, 0)
            known[name] = count, expired
            yield Sample(owner(name), int((count + expired) * nanoseconds_an_operation))

    text = "Estimated time that measuring took: the cost of a read, measured at the start, for each operation."
    return families.counter_family("perflens_overhead_seconds_total", text, samples, nanoseconds=True)
