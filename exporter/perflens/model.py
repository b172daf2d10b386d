"""The values that flow from the kernel to the exporters, and the bucket bounds that they all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

__all__ = [
    "BUCKETS",
    "FIRST_BUCKET",
    "HISTOGRAM_WIDTH",
    "OCTAVES",
    "OTHER",
    "SCHEMA",
    "SLOW_WIDTH",
    "AgentStatus",
    "CellInfo",
    "CellKey",
    "LedgerReading",
    "Mount",
    "Owner",
    "ProbeState",
    "SeriesKey",
    "bucket_bounds",
    "octave_bounds",
]

SCHEMA = 2
"""Prometheus native-histogram schema of the buckets: 2^SCHEMA buckets an octave."""

FIRST_BUCKET = -20 << SCHEMA
"""Native index of the first bound, 2^-20 s."""

BUCKETS = (32 << SCHEMA) + 1
"""Buckets of a histogram: those up to 2^12 s, and the one of all that is not above 2^-20 s."""

OCTAVES = 33
"""Classic buckets, one an octave: 2^-20 s to 2^12 s."""

HISTOGRAM_WIDTH = 2 + BUCKETS + OCTAVES
"""A histogram row: count, sum in ns, the buckets, one count an octave."""

SLOW_WIDTH = 2
"""A row of slow operations: count, sum in ns."""

OTHER = "other"
"""Label value of what had no place of its own."""


def bucket_bounds() -> tuple[int, ...]:
    """Return the inclusive upper bound of each bucket in ns: floor(10^9 * 2^(i / 4)) for i from -80 to 48.

    The fourth root is taken in whole numbers, so the table is exact: floor(n^(1/4)) is isqrt(isqrt(n)).
    """
    fourth_power = 10 ** (9 << SCHEMA)
    powers = (fourth_power << i if i >= 0 else fourth_power >> -i for i in range(FIRST_BUCKET, FIRST_BUCKET + BUCKETS))
    return tuple(isqrt(isqrt(power)) for power in powers)


def octave_bounds() -> tuple[float, ...]:
    """Return the classic upper bounds in seconds; each is exact as a double."""
    return tuple(2.0**i for i in range(-20, 13))


class CellKey(NamedTuple):
    """What the kernel tells cells apart by: owner's cgroup id, an opaque object, the operation's number."""

    owner: int
    object: int
    operation: int


@dataclass(frozen=True, slots=True)
class CellInfo:
    """What the kernel noted when it claimed a cell.

    ``path`` holds the owner's cgroup names from the root down; unless ``complete``, the first ones, or all, are missing.
    """

    object_name: str
    path: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose operations these are: a cgroup and the name that series carry."""

    cgroup_id: int
    path: str
    unit: str


class SeriesKey(NamedTuple):
    """The labels of one series: operation, object (``fs`` of the file family) and owner, empty where a level has none."""

    operation: str
    object: str
    owner: str


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: what is mounted where (proc(5))."""

    root: str
    point: str
    fstype: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class ProbeState:
    """How a probe stands: ``mechanism`` when attached, else why not and what would help."""

    name: str
    attached: bool
    mechanism: str = ""
    reason: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """The operations of one probe since it was attached: ``entered`` is the sum of ``outcomes`` and ``in_flight``, once quiet."""

    entered: int
    outcomes: Mapping[str, int]
    in_flight: int
    missed: int
    details: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What the agent knows of itself, for its own metrics: by probe, and by metric for the series."""

    probes: tuple[ProbeState, ...]
    ledgers: Mapping[str, LedgerReading]
    cells: Mapping[str, tuple[int, int]]
    series: Mapping[str, int]
    series_dropped: Mapping[str, int]
    series_expired: Mapping[str, int]
    owners: int
    owners_unnamed: int
    owners_cut: int
    reload_succeeded: bool
    reload_succeeded_at: float
