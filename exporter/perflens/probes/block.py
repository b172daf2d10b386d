"""How long requests of disks are held back, queued, and on the device."""

from __future__ import annotations

from perflens.probe import Histogram, Probe, Rung, Total

_BIOS = ("bio_complete", "bio_backmerge", "bio_frontmerge", "bio_queue")
_SINCE_6_5 = ("done", "complete", "merge", "issue", "start", *_BIOS)  # what ends requests first
_BEFORE = ("complete_ends", "merge", "issue_begins", "insert_begins", *_BIOS)


def _rung(mechanism: str, hooks: tuple[str, ...]) -> Rung:
    programs = tuple(f"block_{hook}_{mechanism}" for hook in hooks)
    return Rung(mechanism, programs, either=("block_held_fexit", "block_held_before_fexit", f"block_switch_{mechanism}"))


PROBE = Probe(
    summary="Requests of disks: held back before they are made, queued, on the device; and bios in devices stacked on others.",
    operations="block_operation",
    parts=(
        Histogram(
            "block_held_duration_seconds",
            help="Time from the submission of a bio to the request made of it: throttled by its cgroup, or waiting for a tag.",
            object_label="device",
        ),
        Histogram(
            "block_queue_duration_seconds",
            help="Time from when a request was made to when its driver took it: in the scheduler, or sent back by the driver.",
            object_label="device",
        ),
        Histogram(
            "block_device_duration_seconds",
            help="Time from when the driver took a request to when it was done.",
            object_label="device",
        ),
        Histogram(
            "block_layer_duration_seconds",
            help="Time of a bio in a device that is stacked on others (dm, md, zram), with what it takes below.",
            object_label="device",
        ),
        Total("block_bytes_total", help="Bytes of requests that are done.", object_label="device"),
    ),
    counted=2,
    in_flight="requests",
    cells=2_048,
    shards=4,
    ring=1 << 22,
    rungs=tuple(_rung(mechanism, hooks) for mechanism in ("tp_btf", "raw_tp") for hooks in (_SINCE_6_5, _BEFORE)),
)
