"""Every query of the dashboard of devices, as queries.py has those of the overview."""

from __future__ import annotations

from grafana.queries import AGENT, OWNER, label_values, rate

DEVICE = f'{AGENT}, device=~"$device"'
OWNED = f'{AGENT}, operation=~"$operation", {OWNER}=~"${OWNER}"'
REQUEST = f'{OWNED}, device=~"$device"'
SLOW = f'{OWNED}, probe="block"'
PROBE = f'{AGENT}, probe="block"'

LONG = "0.125"  # s: a bound of the histograms, and that of the alerts
HELD, QUEUE, ON_DEVICE, LAYER = (f"perflens_block_{part}_duration_seconds" for part in ("held", "queue", "device", "layer"))


def requests(by: str = "") -> str:
    """Requests that are done, a second."""
    return rate(f"{ON_DEVICE}_count", REQUEST, by)


def transferred(by: str = "") -> str:
    """Bytes a second."""
    return rate("perflens_block_bytes_total", REQUEST, by)


def size(by: str) -> str:
    """The mean size of a request; those without data, such as flushes, count."""
    return f"{transferred(by)} / ({requests(by)} > 0)"


def present(part: str, by: str = "") -> str:
    """How many requests a part holds at a time, on average: arrivals a second by the time that each stays (Little's law)."""
    return rate(f"{part}_sum", REQUEST, by)


def waiting(by: str = "") -> str:
    """How many requests have not reached their device, on average."""
    return f"{present(HELD, by)} + {present(QUEUE, by)}"


def mean(part: str, by: str) -> str:
    """The mean time in a part."""
    return f"{present(part, by)} / ({rate(f'{part}_count', REQUEST, by)} > 0)"


def quantile(q: float, part: str, by: str = "") -> str:
    """The time in a part that a share q of the requests did not exceed."""
    return f"histogram_quantile({q}, {rate(f'{part}_bucket', REQUEST, f'{by}, le' if by else 'le')})"


def buckets(part: str) -> str:
    """What each bucket of a part's histogram counts, a second."""
    return rate(f"{part}_bucket", REQUEST, "le")


def long_share(part: str, by: str) -> str:
    """The share of requests that were in a part for longer than `LONG`: exact, as that is a bound of the histogram."""
    every, short = rate(f"{part}_count", REQUEST, by), rate(f"{part}_bucket", f'{REQUEST}, le="{LONG}"', by)
    return f"({every} - {short}) / ({every} > 0)"


def slow_ratio(by: str = "") -> str:
    """The share of requests that are slow, of all devices, which their counter does not tell apart; 0 where none was."""
    every = rate(f"{ON_DEVICE}_count", OWNED, by)
    return f"({rate('perflens_slow_operations_total', SLOW, by)} or 0 * {every}) / ({every} > 0)"


BUSY_DEVICES = f"count({requests('instance, device')} > 0)"
LOST = rate("perflens_slow_operation_seconds_total", SLOW, OWNER)

_CHOSEN = f'perflens_block_device_info{{{AGENT}, disk=~"$device"}}'  # the devices, and their partitions


def _of_chosen(metric: str, by: str) -> str:
    """A table of what the chosen devices have."""
    return f"max by (instance, {by}) ({metric}{{{AGENT}}} and on (job, instance, device) {_CHOSEN})"


INFO = f"max by (instance, device, kind, title, model, rotational, disk) ({_CHOSEN})"
BELOW = _of_chosen("perflens_block_device_below_info", "device, below")
MOUNTS = _of_chosen("perflens_block_device_mount_info", "device, mountpoint, fs")

OUTCOMES = rate("perflens_probe_operations_total", PROBE, "outcome")
ATTRIBUTED = rate("perflens_probe_requests_attributed_total", PROBE, "method")
REQUEUED = rate("perflens_probe_requeued_total", PROBE, "instance")
UNKNOWN = rate("perflens_probe_held_unknown_total", PROBE, "instance")

FIRING = f'ALERTS{{{DEVICE}, alertname=~"PerfLens.+", alertstate="firing"}}'

# Partitions have no requests of their own. A device that is gone is not among the values, and still in `All`.
DEVICES = label_values(f'perflens_block_device_info{{{AGENT}, kind!="partition"}}', "device")
OPERATIONS = label_values(f"{ON_DEVICE}_count{{{AGENT}}}", "operation")
OWNERS = label_values(f"{ON_DEVICE}_count{{{AGENT}}}", OWNER)
