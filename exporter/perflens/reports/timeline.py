"""The timeline of the API as lines and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perflens.reports.events import seconds
from perflens.reports.text import duration, moment, shortened

__all__ = ["HEADER", "columns", "line", "rows"]

Second = Mapping[str, Any]

_SECOND = 1_000_000_000
_PLAIN = ("time", "slow", "slow_seconds", "suppressed", "forks", "execs")

HEADER = f"{'time':20} {'slow':>6} {'for':>7} {'forks':>6} {'execs':>6}  operations"


def line(own: Second) -> str:
    """Return one second: how much was slow and for how long, what began, and the operations that were slow."""
    slow = own["slow"]
    operations = (f"{shortened(one['probe'], 64)}.{shortened(one['operation'], 64)}={one['count']}" for one in own["operations"])
    return (
        f"{moment(own['time_seconds'] * _SECOND, 0)} {slow['count']:>6} {duration(slow['duration_ns']):>7} "
        f"{own['forks']:>6} {own['execs']:>6}  {' '.join(operations)}"
    ).rstrip()


def columns(timeline: Sequence[Second]) -> tuple[str, ...]:
    """Return the names of the columns: two for each operation that was slow in any of these seconds."""
    return (*_PLAIN, *(f"{probe}.{operation}.{what}" for probe, operation in _operations(timeline) for what in ("count", "seconds")))


def rows(timeline: Sequence[Second]) -> Iterator[tuple[object, ...]]:
    """Yield the values of ``columns`` for each second."""
    operations = _operations(timeline)
    for own in timeline:
        slow, known = own["slow"], {(one["probe"], one["operation"]): one for one in own["operations"]}
        plain = (moment(own["time_seconds"] * _SECOND, 0), slow["count"], seconds(slow["duration_ns"]), slow["suppressed"])
        counts = ((known[key]["count"], seconds(known[key]["duration_ns"])) if key in known else (0, seconds(0)) for key in operations)
        yield (*plain, own["forks"], own["execs"], *(value for pair in counts for value in pair))


def _operations(timeline: Sequence[Second]) -> list[tuple[str, str]]:
    return sorted({(one["probe"], one["operation"]) for own in timeline for one in own["operations"]})
