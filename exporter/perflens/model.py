"""The values that flow from the kernel to the exporters, and the bucket bounds that they all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Literal, NamedTuple

from perflens.analysis import AnalysisCounts

__all__ = [
    "BUCKETS",
    "FIRST_BUCKET",
    "HISTOGRAM_WIDTH",
    "NO_POD",
    "OCTAVES",
    "OTHER",
    "OWNER_UNKNOWN",
    "SCHEMA",
    "SLOW_WIDTH",
    "AgentStatus",
    "BlockRequest",
    "CellInfo",
    "CellKey",
    "CgroupEvent",
    "Device",
    "EventCounts",
    "Evidence",
    "EvidenceCounts",
    "Exemplar",
    "FileIdentity",
    "KubernetesCounts",
    "LedgerReading",
    "Mount",
    "Owner",
    "Pod",
    "ProbeState",
    "ProcessEvent",
    "ProcessKey",
    "SeriesKey",
    "SlowEvent",
    "UserFrame",
    "Wait",
    "WebCounts",
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
"""How a row of slow operations begins: count, sum in ns. The time off the CPU of all operations follows, in ns by reason."""

OTHER = "other"
"""Label value of what had no place of its own."""

OWNER_UNKNOWN = (1 << 64) - 1
"""Owner's id of operations of which nobody can tell whose they are."""


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
    """What the kernel tells cells apart by: owner's cgroup id, an opaque object, the operation's number, the family's part."""

    owner: int
    object: int
    operation: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class CellInfo:
    """What the kernel noted when it claimed a cell.

    ``path`` holds the owner's cgroup names from the root down; unless ``complete``, the first ones, or all, are missing.
    """

    object_name: str
    path: tuple[str, ...]
    complete: bool


class Pod(NamedTuple):
    """The pod that an owner belongs to, and the container in it; each text is empty while it is not known.

    ``uid`` and ``container_id`` are told by the cgroup's path alone, the others by the API server. ``workload`` reads ``Kind/name``.
    """

    uid: str = ""
    container_id: str = ""
    namespace: str = ""
    name: str = ""
    workload: str = ""
    container: str = ""


NO_POD = Pod()
"""Of owners that are in no pod."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose operations these are: a cgroup, the unit it is of, and the pod.

    ``label`` is what series carry at a level other than the unit's, empty at that; see owner_levels.py.
    """

    cgroup_id: int
    path: str
    unit: str
    pod: Pod = NO_POD
    label: str = ""

    @property
    def name(self) -> str:
        """What series, stacks and incidents call it."""
        return self.label or self.unit


class SeriesKey(NamedTuple):
    """The labels of one series: operation, object (``fs`` of the file family) and owner's name, empty where a level has none.

    ``part`` is the metric of the family that it belongs to.
    """

    operation: str
    object: str
    owner: str
    part: int = 0


class UserFrame(NamedTuple):
    """A frame of a user stack as the kernel gave it, the leaf first in a stack.

    ``build_id`` holds 20 bytes and ``offset`` the offset in that file; when the kernel found no build-id it is empty and
    ``offset`` is the address in the process.
    """

    build_id: bytes
    offset: int


class Wait(NamedTuple):
    """One interval off the CPU, in ns of CLOCK_MONOTONIC: it slept from ``off`` to ``waking`` and then queued until ``on``."""

    off: int
    waking: int
    on: int
    reason: str


class BlockRequest(NamedTuple):
    """A request of a disk, whose bio was submitted at ``start`` (ns of CLOCK_MONOTONIC).

    It was ``held`` back before it was made, in the ``queue``, and then ``served`` by the device, each in ns. ``device`` is (major,
    minor) of the disk, ``disk`` its name, empty when it is not known; ``error`` is 0 or an errno.
    """

    operation: str
    device: tuple[int, int]
    sector: int
    bytes: int
    start: int
    held: int
    queue: int
    served: int
    error: int
    disk: str = ""

    @property
    def end(self) -> int:
        """When it was done."""
        return self.start + self.held + self.queue + self.served

    @property
    def identity(self) -> tuple[int, int, tuple[int, int]]:
        """What tells it from every other: nothing else is submitted at the same moment to the same place."""
        return self.start, self.sector, self.device


class ProcessKey(NamedTuple):
    """A process, safe against reuse of its PID: ``start`` is when it began, ns of CLOCK_BOOTTIME."""

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The file of an operation: ``path`` as its mount namespace names it, empty when it could not be told.

    Unless ``complete``, the path lost its beginning. Bytes that are no UTF-8 are surrogates (os.fsdecode).
    """

    path: str
    complete: bool
    device: tuple[int, int]
    inode: int


@dataclass(frozen=True, slots=True)
class SlowEvent:
    """One slow operation as the kernel saw it. Durations and times in ns, ``start`` of CLOCK_MONOTONIC.

    ``duration`` = ``on_cpu`` + ``runqueue`` + ``unattributed`` + the sum of ``blocked``, to the nanosecond.
    ``in_progress`` says that it has not ended yet: ``result`` means nothing then. Else ``result`` is what the call returned: bytes,
    or -errno. ``comm`` is the thread's name, ``process_name`` that of its process. ``waits`` holds the first intervals of 1 ms
    and more, ``waits_seen`` how many there were. ``kernel_stack`` holds the addresses where its longest sleep slept, the leaf first.
    ``program`` is the path of what the process runs, as its mount namespace has it; empty when it is not known whole.
    ``requests`` holds the first requests of disks that served it, ``requests_seen`` how many there were that lasted.

    If it ``is_request`` it is itself the one of ``requests``. Its process is then the one that submitted it, which need not have waited
    for it, and ``operation_start`` says when the operation began that this thread was in, 0 for none. ``blocked`` has its parts.
    """

    probe: str
    operation: str
    object_name: str
    in_progress: bool
    start: int
    duration: int
    process: ProcessKey
    parent_pid: int
    tid: int
    comm: str
    process_name: str
    owner_id: int
    result: int
    file: FileIdentity
    on_cpu: int
    runqueue: int
    unattributed: int
    blocked: Mapping[str, int]
    waits: tuple[Wait, ...]
    waits_seen: int
    kernel_stack: tuple[int, ...]
    user_stack: tuple[UserFrame, ...]
    program: str = ""
    requests: tuple[BlockRequest, ...] = ()
    requests_seen: int = 0
    is_request: bool = False
    operation_start: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A slow operation with all that was found out about it.

    ``wall_start`` is its start in ns since the epoch. Frames read ``function+0x1a`` or ``function+0x1a [module]``; what has no name
    stays ``module+0xoffset``. ``container_id`` is empty outside of a container; ``trace_id`` and ``span_id`` (lower-case hex) are
    empty when it became no span. ``devices`` names the disks that the file lies on, none when it lies on no disk or that is not known,
    and ``volume`` the one of its pod that it was about.
    """

    event: SlowEvent
    owner: Owner
    container_id: str
    wall_start: int
    kernel_stack: tuple[str, ...]
    user_stack: tuple[str, ...]
    trace_id: str = ""
    span_id: str = ""
    devices: tuple[str, ...] = ()
    volume: PodVolume | None = None


class Exemplar(NamedTuple):
    """A span that a collector took, shown at the bucket of its operation: ``value`` in ns, ``timestamp`` in s since the epoch."""

    trace_id: str
    span_id: str
    value: int
    timestamp: float


@dataclass(frozen=True, slots=True)
class ProcessEvent:
    """A process began (``fork``), became another program (``exec``) or ended (``exit``); ``time`` in ns of CLOCK_MONOTONIC.

    ``path`` is the program's for ``exec``, else empty.
    """

    kind: Literal["fork", "exec", "exit"]
    time: int
    process: ProcessKey
    parent: ProcessKey
    comm: str
    owner_id: int
    path: str


@dataclass(frozen=True, slots=True)
class CgroupEvent:
    """A cgroup was made or removed; ``path`` is below the root of its hierarchy."""

    kind: Literal["mkdir", "rmdir"]
    time: int
    hierarchy: int
    cgroup_id: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: what is mounted where (proc(5)).

    ``options`` are the super block's, escaped as the kernel writes them; ``device`` is its number (major, minor).
    """

    root: str
    point: str
    fstype: str
    options: frozenset[str]
    number: int = 0
    parent: int = 0
    device: tuple[int, int] = (0, 0)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A block device. Its text is escaped and bounded.

    ``name`` is the kernel's, ``number`` (major, minor), (0, 0) for a path that is hidden behind its multipath device. ``size`` is in
    bytes. ``title`` is what people call it: the name of a device mapper's, the file behind a loop, the level of a RAID. ``wwid`` is
    what identifies the hardware or the volume. ``disk`` is the disk of a partition, else itself. ``below`` names the devices that it
    is stacked on, the next ones only, and ``above`` those on it; ``mounts`` holds (mount point, file system type).
    """

    name: str
    number: tuple[int, int]
    kind: str
    size: int
    read_only: bool
    rotational: bool | None
    title: str
    model: str
    wwid: str
    disk: str
    below: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()


class PodVolume(NamedTuple):
    """A volume of a pod that is mounted from a block device, ``device`` by the kernel's name.

    ``volume`` is its name in the pod. ``persistent_volume`` and ``claim`` are empty for one that is the pod's own; the claim and the
    name in the pod are also empty where a pod has several claims and nothing tells which this one is.
    """

    device: str
    pod_uid: str
    namespace: str
    pod: str
    volume: str = ""
    persistent_volume: str = ""
    claim: str = ""


@dataclass(frozen=True, slots=True)
class ProbeState:
    """How a probe stands: ``mechanism`` when attached and whether it tells waits, else why not and what would help.

    ``programs`` are those that are attached, where it was only tried.
    """

    name: str
    attached: bool
    mechanism: str = ""
    reason: str = ""
    cure: str = ""
    waits: bool = False
    programs: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """The operations of one probe since it was attached: ``entered`` is the sum of ``outcomes`` and ``in_flight``, once quiet.

    ``missed`` says how often a program was not run, by program and reason. ``attributed`` counts requests by the method that found
    their owner.
    """

    entered: int
    outcomes: Mapping[str, int]
    in_flight: int
    missed: Mapping[tuple[str, str], int]
    details: Mapping[str, int]
    unlisted: int = 0
    attributed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What became of the slow operations of one probe as events.

    Each is ``emitted``, ``suppressed``, refused by a full ring, or preempted the program that was writing another one (``buffer_busy``).
    """

    emitted: int
    suppressed: int
    ring_full: int
    buffer_busy: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceCounts:
    """What became of the events once they were read, by probe; of the spans and the user frames by outcome; of full tables by name."""

    read: Mapping[str, int] = field(default_factory=dict)
    explained: Mapping[str, int] = field(default_factory=dict)
    unexplained: Mapping[str, int] = field(default_factory=dict)
    undecodable: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, int] = field(default_factory=dict)
    frames: Mapping[str, int] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    evicted: Mapping[str, int] = field(default_factory=dict)
    process_events: Mapping[str, int] = field(default_factory=dict)
    processes: int = 0


class WebCounts(NamedTuple):
    """The web configuration: whether it was last read with success and when it was, and whom it turned away, by reason."""

    reload_succeeded: bool
    reload_succeeded_at: float
    refused: Mapping[str, int]
    handshakes_failed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KubernetesCounts:
    """What was told of pods: ``up`` while their names come; pods by ``state``, errors by reason, events of a watch by type.

    ``unresolved`` counts the owners whose series were bound by ids, by what had no name.
    """

    up: bool
    lists: int
    pods: Mapping[str, int]
    events: Mapping[str, int]
    errors: Mapping[str, int]
    refused: int
    evicted: int
    unresolved: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What the agent knows of itself, for its own metrics: by probe, and by metric for the series."""

    probes: tuple[ProbeState, ...]
    ledgers: Mapping[str, LedgerReading]
    events: Mapping[str, EventCounts]
    unattributed: Mapping[str, int]
    evidence: EvidenceCounts
    cells: Mapping[str, tuple[int, int]]
    series: Mapping[str, int]
    series_dropped: Mapping[str, int]
    series_expired: Mapping[str, int]
    owners: int
    owners_unnamed: int
    owners_cut: int
    reload_succeeded: bool
    reload_succeeded_at: float
    analysis: AnalysisCounts | None = None
    kubernetes: KubernetesCounts | None = None
    web: WebCounts | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    filter_cgroups: Mapping[str, int] = field(default_factory=dict)
    connections_closed: Mapping[str, int] = field(default_factory=dict)
