"""What the disks did for whom in a window, by the requests that were traced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from perflens.analysis import Subject
from perflens.analyzer.scene import owner_of
from perflens.analyzer.signals import Signal
from perflens.analyzer.totals import RequestTotal, Totals

__all__ = ["device_culprits", "request_signals"]

_SOURCE = "perflens: block requests"
_SECOND = 1e9
_LEAST_REQUESTS = 5


@dataclass(slots=True)
class _Sum:
    number: int = 0
    bytes: int = 0
    queue: int = 0
    device: int = 0

    def add(self, total: RequestTotal) -> None:
        self.number += total.number
        self.bytes += total.bytes
        self.queue += total.queue
        self.device += total.device


def _by_device(totals: Totals) -> dict[str, _Sum]:
    found: defaultdict[str, _Sum] = defaultdict(_Sum)
    for key, total in totals.requests.items():
        found[key.device].add(total)
    return dict(found)


def _time_by_owner(totals: Totals) -> dict[str, dict[str, int]]:
    """A request's time is that in the queue too: who fills it is to blame for what waits in it."""
    found: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, total in totals.requests.items():
        found[key.device][key.owner] += total.queue + total.device
    return {device: dict(owners) for device, owners in found.items()}


def device_culprits(totals: Totals) -> Mapping[tuple[str, Subject], Sequence[Subject]]:
    """Return the owners with most of each disk's time, the first one most; nobody's requests are of none."""
    found = {}
    for device, owners in _time_by_owner(totals).items():
        ranked = sorted((owner for owner in owners if owner not in ("", "unknown", "other")), key=lambda own: owners[own], reverse=True)
        found["device", Subject("device", device)] = tuple(map(owner_of, ranked[:3]))
    return found


def request_signals(seconds: float, totals: Totals) -> Iterator[Signal]:
    """Yield load and latency of each disk, and each owner's share of its time; ``seconds`` is the length of the window."""
    for name, own in _by_device(totals).items():
        device = Subject("device", name)
        yield Signal("device.requests", device, own.number / seconds, "1/s", "requests", _SOURCE, own.number)
        yield Signal("device.throughput", device, own.bytes / seconds, "B/s", "bytes", _SOURCE, own.number)
        if own.number >= _LEAST_REQUESTS:
            yield Signal(
                "device.latency",
                device,
                own.device / own.number / _SECOND,
                "s",
                "mean time on the device",
                _SOURCE,
                own.number,
                counts=False,
            )
            yield Signal(
                "device.queue_time",
                device,
                own.queue / own.number / _SECOND,
                "s",
                "mean time in the queue",
                _SOURCE,
                own.number,
                counts=False,
            )
    for name, owners in _time_by_owner(totals).items():
        every = sum(owners.values())
        for owner, ns in owners.items():
            if every:
                yield Signal(f"device.share@{name}", owner_of(owner), ns / every, "ratio", f"part of the time of {name}", _SOURCE)
