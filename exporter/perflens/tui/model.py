"""What the API gave, as frozen values. Durations are in ns, times in seconds since 1970; every text is safe to show."""

from __future__ import annotations

from typing import NamedTuple

from perflens.tui.reading import Reader

__all__ = [
    "Event",
    "Operation",
    "Probe",
    "ProcessKey",
    "Request",
    "Second",
    "Slow",
    "SlowProcess",
    "Start",
    "Summary",
    "Tree",
    "TreeProcess",
    "Wait",
    "events",
    "merged",
    "merged_starts",
    "processes",
    "seconds",
    "starts",
    "summary",
    "tree",
]


class Slow(NamedTuple):
    """Slow operations, counted."""

    number: int = 0
    ns: int = 0
    suppressed: int = 0


class Operation(NamedTuple):
    """Slow operations of one kind."""

    probe: str
    operation: str
    slow: Slow

    @property
    def name(self) -> str:
        return f"{self.probe} {self.operation}"


class Probe(NamedTuple):
    """How a probe stands."""

    name: str
    attached: bool
    mechanism: str
    reason: str
    cure: str


class Summary(NamedTuple):
    """The window at a glance."""

    version: str
    window: int
    slow: Slow
    operations: tuple[Operation, ...]
    forks: int
    execs: int
    slow_processes: int
    processes: int
    in_progress: int
    probes: tuple[Probe, ...]


class ProcessKey(NamedTuple):
    """A process, safe against PIDs that are used again; ``start`` 0 when only the PID is known."""

    pid: int
    start: int


class Wait(NamedTuple):
    """One wait of an operation; ``offset`` from its start."""

    offset: int
    blocked: int
    runqueue: int
    reason: str


class Request(NamedTuple):
    """One request of a disk; ``offset`` from the start of its operation."""

    operation: str
    disk: str
    bytes: int
    offset: int
    held: int
    queue: int
    device: int
    error: int


class Event(NamedTuple):
    """A slow operation; ``parts`` are where its duration went, by name."""

    id: str
    probe: str
    operation: str
    object: str
    in_progress: bool
    start: float
    duration: int
    result: int | None
    process: ProcessKey
    process_name: str
    program: str
    tid: int
    comm: str
    owner: str
    path: str
    devices: tuple[str, ...]
    parts: tuple[tuple[str, int], ...]
    waits: tuple[Wait, ...]
    waits_seen: int
    requests: tuple[Request, ...]
    requests_seen: int
    kernel_stack: tuple[str, ...]
    user_stack: tuple[str, ...]

    @property
    def end(self) -> float:
        return self.start + self.duration / 1e9


class SlowProcess(NamedTuple):
    """A process with its slow operations; ``slowest`` is the longest one, None when it was not explained."""

    process: ProcessKey
    comm: str
    number: int
    total: int
    maximum: int
    end: float
    slowest: Event | None


class TreeProcess(NamedTuple):
    """A process of the tree."""

    process: ProcessKey
    depth: int
    comm: str
    path: str
    owner: str
    alive: bool
    slow: int
    slow_below: int


class Tree(NamedTuple):
    """The tree, every process after its parent; ``total`` are known."""

    processes: tuple[TreeProcess, ...]
    total: int


class Start(NamedTuple):
    """A process that began (``fork``), or that became another program (``exec``)."""

    kind: str
    time: float
    process: ProcessKey
    parent: int
    comm: str
    path: str
    owner: str

    @property
    def end(self) -> float:
        return self.time


class Second(NamedTuple):
    """What happened in a second."""

    time: int
    slow: Slow
    forks: int
    execs: int
    operations: tuple[Operation, ...]


def _slow(own: Reader) -> Slow:
    return Slow(own.integer("count"), own.integer("duration_ns"), own.integer("suppressed"))


def _operation(own: Reader) -> Operation:
    return Operation(own.text("probe", 32), own.text("operation", 32), _slow(own))


def _key(own: Reader) -> ProcessKey:
    return ProcessKey(own.integer("pid"), own.integer("start_ns"))


def _probe(own: Reader) -> Probe:
    return Probe(own.text("name", 32), own.boolean("attached"), own.text("mechanism", 32), own.text("reason"), own.text("cure"))


def summary(own: Reader) -> Summary:
    """Read /summary."""
    return Summary(
        own.text("version", 32),
        own.integer("window_seconds"),
        _slow(own.object("slow")),
        own.each("operations", _operation),
        own.integer("forks"),
        own.integer("execs"),
        own.integer("slow_processes"),
        own.integer("processes"),
        own.integer("in_progress"),
        own.each("probes", _probe),
    )


def _wait(own: Reader) -> Wait:
    return Wait(own.integer("offset_ns"), own.integer("blocked_ns"), own.integer("runqueue_ns"), own.text("reason", 64))


def _request(own: Reader) -> Request:
    return Request(
        own.text("operation", 32),
        own.text("disk", 64) or own.text("device", 32),
        own.integer("bytes"),
        own.integer("offset_ns"),
        own.integer("held_ns"),
        own.integer("queue_ns"),
        own.integer("device_ns"),
        own.integer("error"),
    )


def _parts(own: Reader) -> tuple[tuple[str, int], ...]:
    """The greatest first; what took no time is left out."""
    named = (("on cpu", "on_cpu_ns"), ("runqueue", "runqueue_ns"), ("unattributed", "unattributed_ns"))
    parts = [(name, own.integer(field)) for name, field in named] + list(own.integers("blocked_ns"))
    return tuple(sorted(((name, ns) for name, ns in parts if ns), key=lambda part: -part[1]))


def event(own: Reader) -> Event:
    """Read a slow operation."""
    file = own.object("file")
    return Event(
        id=own.text("id", 128),
        probe=own.text("probe", 32),
        operation=own.text("operation", 32),
        object=own.text("object", 64),
        in_progress=own.boolean("in_progress"),
        start=own.number("start_time_seconds"),
        duration=own.integer("duration_ns"),
        result=own.integer("result") if own.has("result") else None,
        process=_key(own.object("process")),
        process_name=own.text("process_name", 64),
        program=own.text("program"),
        tid=own.integer("tid"),
        comm=own.text("comm", 64),
        owner=own.object("owner").text("name"),
        path=file.text("path"),
        devices=own.texts("devices"),
        parts=_parts(own.object("time")),
        waits=own.each("waits", _wait),
        waits_seen=own.integer("waits_seen"),
        requests=own.each("requests", _request),
        requests_seen=own.integer("requests_seen"),
        kernel_stack=own.texts("kernel_stack"),
        user_stack=own.texts("user_stack"),
    )


def events(own: Reader) -> tuple[Event, ...]:
    """Read /events."""
    return own.each("events", event)


def merged(old: tuple[Event, ...], new: tuple[Event, ...], most: int) -> tuple[Event, ...]:
    """Return the events of both, the newest first, each once; of two with one id the new one."""
    found = {own.id: own for own in old}
    found.update((own.id, own) for own in new)
    return tuple(sorted(found.values(), key=lambda own: own.end, reverse=True)[:most])


def _slow_process(own: Reader) -> SlowProcess:
    return SlowProcess(
        _key(own.object("process")),
        own.text("comm", 64),
        own.integer("count"),
        own.integer("total_ns"),
        own.integer("maximum_ns"),
        own.number("maximum_end_time_seconds"),
        event(own.object("slowest")) if own.has("slowest") else None,
    )


def processes(own: Reader) -> tuple[SlowProcess, ...]:
    """Read /processes: those of both lists, each once."""
    both = own.each("by_maximum", _slow_process) + own.each("by_total", _slow_process)
    return tuple({one.process: one for one in both}.values())


def _tree_process(own: Reader) -> TreeProcess:
    return TreeProcess(
        _key(own.object("process")),
        own.integer("depth"),
        own.text("comm", 64),
        own.text("path"),
        own.text("owner"),
        own.boolean("alive"),
        own.integer("slow"),
        own.integer("slow_below"),
    )


def tree(own: Reader) -> Tree:
    """Read /process-tree."""
    return Tree(own.each("processes", _tree_process), own.integer("total"))


def _start(own: Reader) -> Start:
    return Start(
        own.text("kind", 32),
        own.number("time_seconds"),
        _key(own.object("process")),
        own.object("parent").integer("pid"),
        own.text("comm", 64),
        own.text("path"),
        own.text("owner"),
    )


def starts(own: Reader) -> tuple[Start, ...]:
    """Read /process-starts, the newest first."""
    return own.each("starts", _start)


def merged_starts(old: tuple[Start, ...], new: tuple[Start, ...], most: int) -> tuple[Start, ...]:
    """Return the forks and execs of both, the newest first, each once."""
    return tuple(sorted({*old, *new}, key=lambda own: own.time, reverse=True)[:most])


def _second(own: Reader) -> Second:
    return Second(
        own.integer("time_seconds"),
        _slow(own.object("slow")),
        own.integer("forks"),
        own.integer("execs"),
        own.each("operations", _operation),
    )


def seconds(own: Reader) -> tuple[Second, ...]:
    """Read /timeline, the oldest first."""
    return own.each("seconds", _second)
