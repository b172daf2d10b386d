"""The families that name block devices, so that those of operations and requests can be joined with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from perflens.export.prometheus.families import Sample, gauge_family, together
from perflens.export.prometheus.form import Render
from perflens.model import Device, PodVolume

__all__ = ["MOST_EDGES", "MOST_MOUNTS", "MOST_VOLUMES", "Devices", "device_families"]

MOST_EDGES, MOST_MOUNTS, MOST_VOLUMES = 1_024, 256, 1_024

_ROTATIONAL = {None: "", False: "false", True: "true"}


class Devices(Protocol):
    """The block devices; ``edges`` are of each with every one below it, ``left_out`` counts devices and mounts that are not there."""

    def all(self) -> Sequence[Device]: ...
    def edges(self) -> Sequence[tuple[str, str]]: ...
    def left_out(self) -> tuple[int, int]: ...


def device_families(devices: Devices, volumes: Callable[[], Sequence[PodVolume]] = lambda: ()) -> Render:
    """Return what renders the devices that have a size: what they are, what they lie on, where they are mounted, and what was cut.

    ``volumes`` are those of pods.
    """

    def shown() -> list[Device]:
        return [own for own in devices.all() if own.size]

    def info() -> Iterator[Sample]:
        for own in shown():
            rotational = _ROTATIONAL[own.rotational]
            texts = (("title", own.title), ("model", own.model), ("rotational", rotational), ("disk", own.disk))
            yield Sample((("device", own.name), ("kind", own.kind), *texts), 1)

    def below() -> Iterator[Sample]:
        for device, under in islice(devices.edges(), MOST_EDGES):
            yield Sample((("device", device), ("below", under)), 1)

    def mounts() -> Iterator[Sample]:
        for device, point, fstype in islice(_mounts(shown()), MOST_MOUNTS):
            yield Sample((("device", device), ("mountpoint", point), ("fs", fstype)), 1)

    def of_pods() -> Iterator[Sample]:
        for own in volumes()[:MOST_VOLUMES]:
            of_pod = (("namespace", own.namespace), ("pod", own.pod), ("volume", own.volume))
            claimed = (("persistentvolume", own.persistent_volume), ("persistentvolumeclaim", own.claim))
            yield Sample((("device", own.device), *of_pod, *claimed), 1)

    def left_out() -> Iterator[Sample]:
        unlisted, unmounted = devices.left_out()
        more = {
            "devices": unlisted,
            "below": max(len(devices.edges()) - MOST_EDGES, 0),
            "volumes": max(len(volumes()) - MOST_VOLUMES, 0),
            "mounts": unmounted + max(sum(len(own.mounts) for own in shown()) - MOST_MOUNTS, 0),
        }
        for table, count in more.items():
            yield Sample((("table", table),), count)

    return together(
        [
            gauge_family("perflens_block_device_info", "A block device that has a size; `disk` is that of a partition.", info),
            gauge_family("perflens_block_device_below_info", "A block device and one that it lies on, however deep.", below),
            gauge_family("perflens_block_device_mount_info", "A block device and where a file system on it is mounted.", mounts),
            gauge_family("perflens_block_device_volume_info", "A block device and the volume of a pod that is mounted from it.", of_pods),
            gauge_family("perflens_block_device_left_out", "What the four above do not show because there is too much.", left_out),
        ]
    )


def _mounts(devices: Sequence[Device]) -> Iterator[tuple[str, str, str]]:
    """Yield the first mount of every device, then the second ones: a device with many must not leave the others without."""
    depth = max((len(own.mounts) for own in devices), default=0)
    for place in range(depth):
        for own in devices:
            if place < len(own.mounts):
                yield own.name, *own.mounts[place]
