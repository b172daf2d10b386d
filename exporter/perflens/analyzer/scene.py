"""Who was slow in a window, on which disks, and waiting for what: exact seconds, split as those events say that came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from perflens.analysis import HOST, Impact, Subject
from perflens.analyzer.judge import Scene
from perflens.analyzer.totals import Totals
from perflens.model import Evidence, SlowEvent

__all__ = ["impact_of", "owner_of", "scene_of", "waits_of"]

_SECOND = 1e9


def owner_of(unit: str) -> Subject:
    """Return the subject of an owner."""
    return Subject("owner", unit)


def impact_of(totals: Totals, events: Iterable[Evidence]) -> Impact:
    """Return what was slow in a window of ``totals.time`` ns: what ended, exactly, and what hangs, for as long as it did in the window."""
    seconds: defaultdict[Subject, float] = defaultdict(float)
    operations = 0
    for key, total in totals.operations.items():
        if total.slow:
            operations += total.slow
            seconds[owner_of(key.owner)] += total.slow_ns / _SECOND
    for evidence in events:
        if evidence.event.in_progress:
            operations += 1
            seconds[owner_of(evidence.owner.unit)] += min(evidence.event.duration, totals.time) / _SECOND
    victims = dict(sorted(seconds.items(), key=lambda item: item[1], reverse=True))
    return Impact(operations, sum(seconds.values()), victims)


def waits_of(event: SlowEvent) -> dict[str, float]:
    """Return what an operation's time went to, in s, by reason."""
    parts = {"on_cpu": event.on_cpu, "runqueue": event.runqueue, "unattributed": event.unattributed}
    for reason, ns in event.blocked.items():
        parts[reason] = parts.get(reason, 0) + ns
    return {reason: ns / _SECOND for reason, ns in parts.items() if ns}


def scene_of(impact: Impact, events: Sequence[Evidence], culprits: Mapping[tuple[str, Subject], Sequence[Subject]]) -> Scene:
    """Split each victim's seconds by disk and by wait as its events are; one without events is on no disk, and waits for nothing known."""
    waits: defaultdict[Subject, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    disks: defaultdict[Subject, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    known: defaultdict[Subject, float] = defaultdict(float)
    for evidence in events:
        victim, event = owner_of(evidence.owner.unit), evidence.event
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
    split[HOST] = _summed(split.values())
    return Scene(impact.victims, dict(on_device), split, culprits)


def _summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for own in list(parts):
        for reason, seconds in own.items():
            found[reason] += seconds
    return dict(found)
