"""A slow operation of the API as a line and as the row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perflens.reports.text import duration, moment, shortened

__all__ = ["COLUMNS", "line", "longest_part", "owner_of", "row", "where"]

Event = Mapping[str, Any]

_LONGEST_NAME, _LONGEST_PATH = 64, 160

COLUMNS = (
    "start_time",
    "id",
    "probe",
    "operation",
    "object",
    "duration_seconds",
    "result",
    "process_name",
    "pid",
    "comm",
    "tid",
    "unit",
    "container_id",
    "path",
    "device",
    "disks",
    "on_cpu_seconds",
    "runqueue_seconds",
    "unattributed_seconds",
    "longest_part",
    "longest_part_seconds",
    "requests_seen",
    "trace_id",
)


def longest_part(event: Event) -> tuple[str, int]:
    """Return where most of an operation's time went, and the ns: a reason to wait, or runqueue, on_cpu or unattributed."""
    time = event["time"]
    parts = {**time["blocked_ns"], **{name: time[f"{name}_ns"] for name in ("runqueue", "on_cpu", "unattributed")}}
    return max(parts.items(), key=lambda part: part[1])


def owner_of(event: Event) -> str:
    """Return what the metrics and the filters of the API call the owner: its name where it has one besides its unit."""
    owner = event["owner"]
    return str(owner.get("name") or owner["unit"])


def where(event: Event) -> str:
    """Return what an operation was done to: the file's path, else the disks, else the device's number, else its kind."""
    disks = event["devices"] or [own["disk"] for own in event["requests"] if own["disk"]]
    return event["file"]["path"] or ",".join(dict.fromkeys(disks)) or event["file"]["device"].replace("0:0", "") or event["object"] or "-"


def line(event: Event) -> str:
    """Return when, how long, what, who, whose, on what, and where the time went."""
    part, ns = longest_part(event)
    who = f"{shortened(event['process_name'] or event['comm'], _LONGEST_NAME)}[{event['process']['pid']}]"
    return " ".join(
        (
            moment(event["start_time_ns"]),
            f"{duration(event['duration_ns']):>7}",
            f"{shortened(event['probe'], _LONGEST_NAME)}.{shortened(event['operation'], _LONGEST_NAME)}".ljust(12),
            who,
            shortened(owner_of(event), _LONGEST_PATH) or "-",
            shortened(where(event), _LONGEST_PATH),
            f"{shortened(part, _LONGEST_NAME)}={duration(ns)}",
            *(["(in progress)"] if event["in_progress"] else []),
        )
    )


def row(event: Event) -> tuple[object, ...]:
    """Return the values of ``COLUMNS``; what is not known is empty."""
    time, file = event["time"], event["file"]
    part, ns = longest_part(event)
    return (
        moment(event["start_time_ns"], 9),
        event["id"],
        event["probe"],
        event["operation"],
        event["object"],
        seconds(event["duration_ns"]),
        "" if event["result"] is None else event["result"],
        event["process_name"],
        event["process"]["pid"],
        event["comm"],
        event["tid"],
        owner_of(event),
        event["container_id"],
        file["path"],
        file["device"],
        " ".join(event["devices"]),
        seconds(time["on_cpu_ns"]),
        seconds(time["runqueue_ns"]),
        seconds(time["unattributed_ns"]),
        part,
        seconds(ns),
        event["requests_seen"],
        event["trace_id"],
    )


def seconds(ns: int) -> str:
    """Return exact seconds."""
    return f"{ns // 1_000_000_000}.{ns % 1_000_000_000:09d}"
