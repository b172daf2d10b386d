"""A family of one operation, what it did, and pages that count it right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perflens.selftest.case import Case, Owner
from perflens.selftest.model import Check, Disk, Family, Place, Report, Span
from perflens.selftest.page import Page
from perflens.selftest.throttle import Throttle

MS = 1_000_000
OWN, BESIDE = "/own", "/own/beside"
METRIC = "perflens_disk_duration_seconds"
BOUNDS = (0.001, 0.0625, 0.125, float("inf"))
FAST: list[Span] = [(0, 900_000), (0, 1_000)]
HELD: list[Span] = [(96 * MS, 97 * MS)]
DISK = Disk("/data", "ext4", "/dev/sda1", "8:1")
UNTHROTTLED = Throttle(lacks="no throttle")


def work(_: Place) -> Report:
    return REPORT


FAMILY = Family(work=work, histograms=(METRIC,), object_label="fs", holds=("read",), slept_in=("sleeps_here",), bytes_total="bytes_total")
REPORT = Report({"read": 3}, {"read": FAST + HELD}, {"read": 300}, {"read": 1})
SHARE = Report({"read": 2}, {"read": FAST})


def histogram(unit: str, durations: Sequence[float], labels: str = 'fs="ext4"') -> str:
    """The samples of a series of reads that took so many seconds."""
    own = ",".join(filter(None, ('operation="read"', labels, f'unit="{unit}"' if unit else "")))
    lines = [f'{METRIC}_bucket{{{own},le="{bound}"}} {sum(value <= bound for value in durations)}' for bound in BOUNDS]
    lines += [f"{METRIC}_count{{{own}}} {len(durations)}", f"{METRIC}_sum{{{own}}} {sum(durations):.9f}"]
    return "\n".join(lines) + "\n"


def slow(unit: str, count: int) -> str:
    return f'perflens_slow_operations_total{{probe="disk",operation="read",unit="{unit}"}} {count}\n'


GOOD = histogram(OWN, (0.0008, 0.000001, 0.0965)) + histogram(BESIDE, (0.0008, 0.000001)) + slow(OWN, 1)
GOOD += f'bytes_total{{operation="read",unit="{OWN}"}} 300\n'


def event(duration: int = 96 * MS + 1, unit: str = OWN, stack: Sequence[str] = ("sleeps_here+0x1a", "read+0x2")) -> Mapping[str, Any]:
    return {"operation": "read", "duration_ns": duration, "owner": {"unit": unit}, "kernel_stack": list(stack)}


def case(after: str = GOOD, before: str = "", **changes: Any) -> Case:
    """One that holds, but for the changes."""
    values: dict[str, Any] = {
        "owner": Owner(OWN, BESIDE),
        "report": REPORT,
        "share": SHARE,
        "thresholds": {"read": 5 * MS},
        "mechanism": "tp_btf",
        "events": [event()],
        "object_name": "ext4",
    }
    return Case("disk", FAMILY, before=Page(before), after=Page(after), **{**values, **changes})


def verdicts(checks: Sequence[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}
