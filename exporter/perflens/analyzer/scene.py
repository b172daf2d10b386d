"""Who was slow in a window, on which disks, and waiting for what: exact seconds, split as those events say that came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from perflens.analysis import HOST, Impact, Subject
from perflens.analyzer.judge import Scene
from perflens.analyzer.totals import Totals
from perflens.model import Evidence, SlowEvent

__all__ = ["LEAST_OPERATIONS", "Usual", "impact_of", "means_of", "owner_of", "rates_of", "scene_of", "waits_of"]

_SECOND = 1e9
_TIMES, _EXCESS = 4, 0.02
LEAST_OPERATIONS = 20
"""Of fewer in a window nothing is said of their mean."""

Usual = Callable[[str, Subject], float | None]
"""What is usual for a metric of a subject; None before that is known."""


def owner_of(unit: str) -> Subject:
    """Return the subject of an owner."""
    return Subject("owner", unit)


def impact_of(totals: Totals, events: Iterable[Evidence], usual: Usual, stopped: Mapping[Subject, float] | None = None) -> Impact:
    """Return what was slower than usual in a window of ``totals.time`` ns, by owner.

    That is what was over the threshold and ended, exactly, and what hangs, for as long as it did in the window: of those for whom it is
    twice what is usual (slow seconds a second). And what took longer than usual without being over it: of those whose operations took
    four times their usual mean, and with that a fiftieth of a thread's time. And the seconds for which owners were ``stopped``.
    """
    operations, seconds = _over_threshold(totals, events)
    window = totals.time / _SECOND
    found = {}
    for victim, slow in seconds.items():
        often = usual("slow.seconds", victim)
        if often is None or slow >= 2 * often * window:
            found[victim] = slow
    for victim, excess in _excess(totals, usual).items():
        if excess >= _EXCESS * window:
            found[victim] = max(found.get(victim, 0.0), excess)
    for victim, held in (stopped or {}).items():
        found[victim] = max(found.get(victim, 0.0), held)
    victims = dict(sorted(found.items(), key=lambda item: item[1], reverse=True))
    return Impact(operations, sum(found.values()), victims)


def _over_threshold(totals: Totals, events: Iterable[Evidence]) -> tuple[int, dict[Subject, float]]:
    seconds: defaultdict[Subject, float] = defaultdict(float)
    operations = 0
    for key, total in totals.operations.items():
        if total.slow:
            operations += total.slow
            seconds[owner_of(key.owner)] += total.slow_ns / _SECOND
    for evidence in events:
        if evidence.event.in_progress:
            operations += 1
            seconds[owner_of(evidence.owner.name)] += min(evidence.event.duration, totals.time) / _SECOND
    return operations, dict(seconds)


def means_of(totals: Totals) -> dict[Subject, tuple[int, float]]:
    """Return how many operations each owner did, and the mean of their time in s."""
    return {owner: (number, ns / number / _SECOND) for owner, (number, ns) in _sums(totals).items() if number >= LEAST_OPERATIONS}


def rates_of(totals: Totals) -> dict[Subject, float]:
    """Return the operations a second of each owner."""
    return {owner: number * _SECOND / totals.time for owner, (number, _) in _sums(totals).items()} if totals.time else {}


def _sums(totals: Totals) -> dict[Subject, list[int]]:
    """The operations of each owner, and their ns."""
    sums: defaultdict[Subject, list[int]] = defaultdict(lambda: [0, 0])
    for key, total in totals.operations.items():
        own = sums[owner_of(key.owner)]
        own[0] += total.number
        own[1] += total.ns
    return sums


def _excess(totals: Totals, usual: Usual) -> dict[Subject, float]:
    """The seconds that operations took beyond their usual mean, of owners whose mean is four times as long."""
    found = {}
    for victim, (number, mean) in means_of(totals).items():
        before = usual("operation.latency", victim)
        if before and mean >= _TIMES * before:
            found[victim] = (mean - before) * number
    return found


def waits_of(event: SlowEvent) -> dict[str, float]:
    """Return what an operation's time went to, in s, by reason."""
    parts = {"on_cpu": event.on_cpu, "runqueue": event.runqueue, "unattributed": event.unattributed}
    for reason, ns in event.blocked.items():
        parts[reason] = parts.get(reason, 0) + ns
    return {reason: ns / _SECOND for reason, ns in parts.items() if ns}


def scene_of(
    impact: Impact, totals: Totals, events: Sequence[Evidence], culprits: Mapping[tuple[str, Subject], Sequence[Subject]]
) -> Scene:
    """Split each victim's seconds by disk and by wait as its events are.

    One without events is on the disks that it had requests of, and waits for what all its operations did.
    """
    waits: defaultdict[Subject, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    disks: defaultdict[Subject, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    known: defaultdict[Subject, float] = defaultdict(float)
    for evidence in events:
        victim, event = owner_of(evidence.owner.name), evidence.event
        if victim not in impact.victims:
            continue
        known[victim] += event.duration / _SECOND
        for reason, seconds in waits_of(event).items():
            waits[victim][reason] += seconds
        for disk in dict.fromkeys((*evidence.devices, *(own.disk for own in event.requests if own.disk))):
            disks[victim][disk] += event.duration / _SECOND
    scale = {victim: impact.victims.get(victim, 0.0) / seconds for victim, seconds in known.items() if seconds}
    on_device: defaultdict[Subject, dict[Subject, float]] = defaultdict(dict)
    for victim, by_disk in disks.items():
        for disk, seconds in by_disk.items():
            on_device[Subject("device", disk)][victim] = seconds * scale[victim]
    split = {victim: {reason: seconds * scale[victim] for reason, seconds in own.items()} for victim, own in waits.items()}
    for victim in impact.victims:
        if victim not in known:
            split[victim] = _of_all(totals, victim, impact.victims[victim])
            for disk, part in _disks(totals, victim).items():
                on_device[Subject("device", disk)][victim] = impact.victims[victim] * part
    split[HOST] = _summed(split.values())
    return Scene(impact.victims, dict(on_device), split, culprits)


def _of_all(totals: Totals, victim: Subject, seconds: float) -> dict[str, float]:
    """The kernel side looks for the reason of sleeps of 1 ms and more; of shorter ones those are of disks that its own requests took."""
    waits = {reason: ns for (owner, reason), ns in totals.waits.items() if owner == victim.name}
    asked = sum(own.queue + own.device for key, own in totals.requests.items() if key.owner == victim.name and key.operation == "read")
    of_disks = min(waits.get("unclassified", 0), asked)
    if of_disks:
        waits |= {"unclassified": waits["unclassified"] - of_disks, "block_io": waits.get("block_io", 0) + of_disks}
    every = sum(total.ns for key, total in totals.operations.items() if key.owner == victim.name)
    waits["on_cpu"] = max(every - sum(waits.values()), 0)
    whole = sum(waits.values())
    return {reason: seconds * ns / whole for reason, ns in waits.items() if ns} if whole else {}


def _disks(totals: Totals, victim: Subject) -> dict[str, float]:
    times: defaultdict[str, int] = defaultdict(int)
    for key, total in totals.requests.items():
        if key.owner == victim.name:
            times[key.device] += total.held + total.queue + total.device
    whole = sum(times.values())
    return {disk: ns / whole for disk, ns in times.items()} if whole else {}


def _summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for own in list(parts):
        for reason, seconds in own.items():
            found[reason] += seconds
    return dict(found)
