"""The panels of the dashboard of devices, row by row."""

from __future__ import annotations

from grafana import blocks as b
from grafana import variables as v
from grafana.blocks import Requests
from grafana.board import Dashboard
from grafana.panels import Panel, stat
from grafana.selectors import AGENT, CHOSEN, CHOSEN_OWNER, OF_OWNER, OPERATION, OWNER, TOP, top

d = Requests(f"{CHOSEN_OWNER}, {OPERATION}", 'device=~"$device"')

_CHOSEN = f'perflens_block_device_info{{{AGENT}, disk=~"$device"}}'  # the devices, and their partitions


def _of_chosen(metric: str, by: str) -> str:
    """A table of what the chosen devices have."""
    return f"max by (instance, {by}) ({metric}{{{AGENT}}} and on (job, instance, device) {_CHOSEN})"


INFO = f"max by (instance, device, kind, title, model, rotational, disk) ({_CHOSEN})"
BELOW = _of_chosen("perflens_block_device_below_info", "device, below")
MOUNTS = _of_chosen("perflens_block_device_mount_info", "device, mountpoint, fs")

FULL = (
    "The mean number at a time, by Little's law: 1 is one at any moment, and a rotating disk that always has one is busy all the "
    "time; flash and arrays serve dozens at once, so there is no share of a whole. A request counts when it is done."
)

ROWS: dict[str, list[Panel]] = {
    "Devices": [
        stat("Busy devices", "Devices that had requests.", "short", d.busy_devices()),
        stat("Requests", "Requests that are done, a second.", "iops", d.requests()),
        stat("Bytes", "Bytes of requests, a second.", "Bps", d.transferred()),
        stat("Requests that wait", "Requests that are held back or queued at a time, on average.", "short", d.waiting()),
        stat("Requests on devices", "Requests that devices work on at a time, on average.", "short", d.present(b.ON_DEVICE)),
        stat("Slow requests", "Requests above the agent's threshold, by all, of all devices.", "percentunit", d.slow_ratio()),
    ],
    "Load": [
        Panel(
            "Requests by device and operation",
            "Requests that are done, a second, as /proc/diskstats counts them; a request that went into another one is part of it.",
            "iops",
            {"{{device}} {{operation}}": d.requests("device, operation")},
            stacked=True,
        ),
        Panel(
            "Bytes by device and operation",
            "Bytes of requests, a second.",
            "Bps",
            {"{{device}} {{operation}}": d.transferred("device, operation")},
            stacked=True,
        ),
        Panel(
            "Request size",
            "Bytes of a request, on average. Many small ones cost a rotating disk a seek each.",
            "bytes",
            {"{{device}} {{operation}}": d.size("device, operation")},
        ),
    ],
    "On the device": [
        Panel(
            "Device time",
            "From when the driver took a request to when it was done: the median and the tail of the chosen ones together. A bucket is "
            "an octave, so a value is right to a factor of two.",
            "s",
            {"p50": d.quantile(0.5, b.ON_DEVICE), "p95": d.quantile(0.95, b.ON_DEVICE), "p99": d.quantile(0.99, b.ON_DEVICE)},
        ),
        Panel(
            "Device time, p99 by device",
            "99 % of the requests are done in this.",
            "s",
            {"{{device}} {{operation}}": d.quantile(0.99, b.ON_DEVICE, "device, operation")},
        ),
        Panel(
            "Device time, mean by device",
            "The mean, which is exact.",
            "s",
            {"{{device}} {{operation}}": d.mean(b.ON_DEVICE, "device, operation")},
        ),
        Panel(
            "Distribution of device times",
            "Requests a second in each octave of time on the device. Two bands are a cache and a medium; a band that rises with the load "
            "is a queue inside of the device.",
            "s",
            {"{{le}}": d.buckets(b.ON_DEVICE)},
            kind="heatmap",
            width=16,
            height=10,
        ),
        Panel(
            "Long on the device",
            "Requests that were on their device for longer than 125 ms, by all of it. The alert looks at 5 %.",
            "percentunit",
            {"{{device}} {{operation}}": d.long_share(b.ON_DEVICE, "device, operation")},
            height=10,
        ),
    ],
    "Before the device": [
        Panel(
            "Queue time",
            "From when a request was made to when its driver took it: in the scheduler, or sent back by the driver. 99 % of the requests "
            "take at most this.",
            "s",
            {"{{device}} {{operation}}": d.quantile(0.99, b.QUEUE, "device, operation")},
        ),
        Panel(
            "Queue time, mean",
            "Above the mean device time requests wait for each other more than for the device.",
            "s",
            {"{{device}} {{operation}}": d.mean(b.QUEUE, "device, operation")},
        ),
        Panel(
            "Distribution of queue times",
            "Requests a second in each octave of time in the queue.",
            "s",
            {"{{le}}": d.buckets(b.QUEUE)},
            kind="heatmap",
        ),
        Panel(
            "Held time",
            "How long it took until there was a request: throttled by a limit of the cgroup (`io.max`, `blkio.throttle.*`), or no free "
            "request of the device. 99 % take at most this.",
            "s",
            {"{{device}} {{operation}}": d.quantile(0.99, b.HELD, "device, operation")},
        ),
        Panel(
            "Long held",
            f"Requests that were held back for longer than 125 ms, by all of an owner on a device: the {TOP} largest. "
            "The alert looks at 5 %.",
            "percentunit",
            {f"{OF_OWNER} {{{{device}}}}": top(d.long_share(b.HELD, f"{OWNER}, device"))},
        ),
        Panel(
            "Held by owner",
            f"Requests of an owner that are held back at a time, on average: the {TOP} owners with the most.",
            "short",
            {f"{OF_OWNER} {{{{device}}}}": top(d.present(b.HELD, f"{OWNER}, device"))},
        ),
    ],
    "In flight": [
        Panel("Held back", FULL, "short", {"{{device}}": d.present(b.HELD, "device")}, stacked=True),
        Panel("In the queue", FULL, "short", {"{{device}}": d.present(b.QUEUE, "device")}, stacked=True),
        Panel("On the device", FULL, "short", {"{{device}}": d.present(b.ON_DEVICE, "device")}, stacked=True),
    ],
    "Layers": [
        Panel(
            "Layer time",
            "Time in a device that is stacked on others (dm, md, zram), with what it takes below: 99 % take at most this. What it has "
            "above the disks below is its own.",
            "s",
            {"{{device}} {{operation}}": d.quantile(0.99, b.LAYER, "device, operation")},
        ),
        Panel(
            "Layer time, mean",
            "The mean, which is exact.",
            "s",
            {"{{device}} {{operation}}": d.mean(b.LAYER, "device, operation")},
        ),
        Panel("In the layer", FULL, "short", {"{{device}}": d.present(b.LAYER, "device")}, stacked=True),
    ],
    "Slow requests": [
        Panel(
            "Slow share by operation",
            "Requests that took longer than the agent's threshold, held, queued and on the device, by all: exact, of all devices.",
            "percentunit",
            {"{{operation}}": d.slow_ratio("operation")},
        ),
        Panel(
            "Slow share by owner",
            f"The same by owner, of all devices: the {TOP} largest.",
            "percentunit",
            {OF_OWNER: top(d.slow_ratio(OWNER))},
        ),
        Panel(
            "Time of slow requests by owner",
            f"Slow requests of an owner at a time, on average, of all devices: the {TOP} owners with the most.",
            "short",
            {OF_OWNER: top(d.lost(OWNER))},
        ),
    ],
    "Who": [
        Panel(
            "Device time by owner",
            f"Requests of an owner on its devices at a time, on average: the {TOP} owners that keep them busiest. `unknown` is what the "
            "kernel submits for itself.",
            "short",
            {OF_OWNER: top(d.present(b.ON_DEVICE, OWNER))},
        ),
        Panel("Bytes by owner", f"Bytes a second: the {TOP} owners with the most.", "Bps", {OF_OWNER: top(d.transferred(OWNER))}),
        Panel("Requests by owner", f"Requests a second: the {TOP} owners with the most.", "iops", {OF_OWNER: top(d.requests(OWNER))}),
    ],
    "What they are": [
        Panel(
            "Kinds and models",
            "Each device and its partitions: `title` is a volume's name, a loop's file or a RAID's level. Virtual disks often say that "
            "they rotate.",
            "short",
            {"": INFO},
            kind="table",
            sort_by="device",
            width=12,
        ),
        Panel("Lies on", "A device and each one below it, however deep.", "short", {"": BELOW}, kind="table", sort_by="device", width=4),
        Panel("Mounts", "Where file systems are mounted, as PID 1 sees them.", "short", {"": MOUNTS}, kind="table", sort_by="device"),
    ],
    "Ledger": [
        Panel(
            "Outcomes of requests",
            "What became of the requests that the probe saw: `merged` went into another one, `other` has no owner.",
            "iops",
            {"{{outcome}}": b.OUTCOMES},
            width=6,
            stacked=True,
        ),
        Panel(
            "How owners were found",
            "Requests a second by what told whose they are.",
            "iops",
            {"{{method}}": b.ATTRIBUTED},
            width=6,
            stacked=True,
        ),
        Panel(
            "Sent back",
            "Times a second that a driver could not take a request: it waits in the queue again.",
            "cps",
            {"{{instance}}": b.REQUEUED},
            width=6,
        ),
        Panel(
            "Submission not seen",
            "Requests a second that count as held back for no time.",
            "iops",
            {"{{instance}}": b.UNKNOWN},
            width=6,
        ),
    ],
}

DEVICES = Dashboard(
    "Devices",
    "What every disk is asked for and by whom, where its requests wait, and how long it takes for them.",
    (v.DEVICES, *v.owners(*CHOSEN, metric=f"{b.BYTES}{{{AGENT}}}"), v.REQUESTS, v.KIND),
    ROWS,
    alerts=f'{AGENT}, device=~"$device"',
)
