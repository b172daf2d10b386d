"""What the slow operations of a window were, and what they waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from perflens.analysis import HOST, Impact, Subject
from perflens.analyzer.judge import Scene
from perflens.analyzer.scene import LEAST_OPERATIONS, means_of, owner_of, rates_of
from perflens.analyzer.signals import Signal
from perflens.analyzer.totals import Totals
from perflens.model import Evidence

__all__ = ["operation_signals"]

_EXACT, _SAMPLED, _ALL = "perflens: slow operations", "perflens: events", "perflens: operations"
_TOGETHER: Mapping[str, tuple[frozenset[str], str]] = {
    "wait.sync": (frozenset({"journal", "flush"}), "slow time that waited for a journal or a flush"),
    "wait.memory": (frozenset({"reclaim", "memcg_high", "swapin"}), "slow time that waited for memory"),
}
_NAMES: Mapping[str, str] = {
    "runqueue": "slow time that waited for a CPU",
    "on_cpu": "slow time on the CPU",
    "block_io": "slow time that waited for disks",
    "cgroup_throttle": "slow time that waited for a cgroup's I/O limit",
    "dirty_throttle": "slow time in which writers were held back for dirty pages",
    "unattributed": "slow time of which only the begin or the end was seen",
    "unclassified": "slow time in sleeps of which the reason is not known",
}
_PAGE_CACHE = ("filemap_", "folio_wait_bit", "page_cache_", "wait_on_page_bit")


def operation_signals(seconds: float, totals: Totals, impact: Impact, scene: Scene, events: Sequence[Evidence]) -> Iterator[Signal]:
    """Yield the slow operations by owner, and their waits by owner, disk and in all; ``seconds`` is the length of the window."""
    yield Signal("slow.operations", HOST, impact.operations / seconds, "1/s", "slow operations", _EXACT)
    by_owner = slow_by_owner(totals)
    yield Signal("slow.seconds", HOST, sum(by_owner.values()) / seconds, "ratio", "slow time a second", _EXACT, impact.operations)
    for victim, slow in by_owner.items():
        yield Signal("slow.seconds", victim, slow / seconds, "ratio", "slow time a second", _EXACT)
    rates = rates_of(totals)
    for owner, (number, mean) in means_of(totals).items():
        yield Signal("operation.latency", owner, mean, "s", "mean time of an operation", _ALL, number, counts=False)
        yield Signal("operation.rate", owner, rates.get(owner, 0.0), "1/s", "operations a second", _ALL, number)
    counts = _counted(events)
    for subject, waits in scene.waits.items():
        yield from _waits(subject, waits, counts.get(subject, len(events)))
    for device, victims in scene.on_device.items():
        yield Signal("device.slow_seconds", device, sum(victims.values()) / seconds, "ratio", "slow time a second of files on it", _SAMPLED)
        yield _sync_on(device, events)
    yield from _held(totals, impact)
    yield from _buffered(events)
    yield from _cached(totals)


def slow_by_owner(totals: Totals) -> dict[Subject, float]:
    """Return the seconds of slow operations that ended, by owner."""
    found: dict[Subject, float] = {}
    for key, total in totals.operations.items():
        if total.slow:
            owner = owner_of(key.owner)
            found[owner] = found.get(owner, 0.0) + total.slow_ns / 1e9
    return found


def _counted(events: Iterable[Evidence]) -> dict[Subject, int]:
    counts: dict[Subject, int] = {}
    for own in events:
        subject = owner_of(own.owner.name)
        counts[subject] = counts.get(subject, 0) + 1
    return counts


def _waits(subject: Subject, waits: Mapping[str, float], samples: int) -> Iterator[Signal]:
    every = sum(waits.values())
    if not every:
        return
    for reason, seconds in waits.items():
        text = _NAMES.get(reason, f"slow time that waited for {reason.replace('_', ' ')}")
        yield Signal(f"wait.{reason}", subject, seconds / every, "ratio", text, _SAMPLED, samples, "sampled", counts=False)
    for metric, (reasons, text) in _TOGETHER.items():
        part = sum(seconds for reason, seconds in waits.items() if reason in reasons)
        yield Signal(metric, subject, part / every, "ratio", text, _SAMPLED, samples, "sampled", counts=False)


def _sync_on(device: Subject, events: Iterable[Evidence]) -> Signal:
    of_sync = every = samples = 0
    for own in events:
        if device.name in own.devices or any(request.disk == device.name for request in own.event.requests):
            samples += 1
            every += own.event.duration
            of_sync += own.event.blocked.get("journal", 0) + own.event.blocked.get("flush", 0)
    part = of_sync / every if every else 0.0
    text = "slow time of files on it that waited for a journal or a flush"
    return Signal("device.wait.sync", device, part, "ratio", text, _SAMPLED, samples, "sampled", counts=False)


def _held(totals: Totals, impact: Impact) -> Iterator[Signal]:
    held: dict[str, int] = {}
    for key, total in totals.requests.items():
        held[key.owner] = held.get(key.owner, 0) + total.held
    for victim, seconds in impact.victims.items():
        if seconds:
            part = min(held.get(victim.name, 0) / 1e9 / seconds, 1.0)
            yield Signal("held.share", victim, part, "ratio", "time its requests were held back, by slow time", "perflens: block_held")


def _buffered(events: Iterable[Evidence]) -> Iterator[Signal]:
    buffered = reads = 0
    for own in events:
        if own.event.operation == "read" and own.event.blocked.get("block_io") and own.kernel_stack:
            reads += 1
            buffered += any(frame.startswith(_PAGE_CACHE) for frame in own.kernel_stack)
    if reads:
        yield Signal(
            "reads.buffered", HOST, buffered / reads, "ratio", "slow reads through the page cache", _SAMPLED, reads, "sampled", counts=False
        )


def _cached(totals: Totals) -> Iterator[Signal]:
    """Yield by owner the part of the reads for which no disk was asked: where none is slow enough for an event no stack tells it."""
    asked: dict[str, int] = {}
    for request, own in totals.requests.items():
        if request.operation == "read":
            asked[request.owner] = asked.get(request.owner, 0) + own.number
    for key, total in totals.operations.items():
        if key.operation == "read" and total.number >= LEAST_OPERATIONS:
            part = max(1 - asked.get(key.owner, 0) / total.number, 0.0)
            yield Signal(
                "reads.cached", owner_of(key.owner), part, "ratio", "reads without a request of a disk", _ALL, total.number, counts=False
            )
