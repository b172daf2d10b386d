"""The API's OpenAPI 3.1 document: every endpoint, its parameters and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perflens import __version__
from perflens.http.parameters import PARAMETERS

__all__ = ["ENDPOINTS", "Endpoint", "document"]

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_BOOLEAN: Schema = {"type": "boolean"}
_FILTERS = ("probe", "operation", "owner", "pid", "min_duration", "since", "after", "limit", "in_progress")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(**properties: Schema) -> Schema:
    """An object with these properties, all of them always there."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _noted(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


_SLOW: Mapping[str, Schema] = {
    "count": _noted(_INTEGER, "Slow operations."),
    "duration_seconds": _noted(_NUMBER, "The time they took."),
    "duration_ns": _INTEGER,
    "suppressed": _noted(_INTEGER, "Those of them that sent no event, because there were too many."),
}
_SCHEMAS: Mapping[str, Schema] = {
    "Error": _object(error=_noted(_TEXT, "What is wrong, and the cure.")),
    "ProcessKey": _object(pid=_INTEGER, start_ns=_noted(_INTEGER, "When it began, ns of CLOCK_BOOTTIME; 0 when only the PID is known.")),
    "Owner": _object(
        cgroup_id=_INTEGER,
        path=_TEXT,
        unit=_noted(_TEXT, "The systemd unit, else the cgroup's path."),
        name=_noted(_TEXT, "What series and incidents call it at `owner.level`: the unit, or `namespace/Kind/name`, `/pod`, `/container`."),
        namespace=_noted(_TEXT, "Empty outside of a pod, like those that follow, and while it is not known."),
        workload=_noted(_TEXT, "`Kind/name`."),
        pod=_TEXT,
        pod_uid=_TEXT,
        container=_TEXT,
    ),
    "Operation": _object(probe=_TEXT, operation=_TEXT, **_SLOW),
    "Slow": _object(**_SLOW),
    "Event": _object(
        id=_noted(_TEXT, "The same in every answer, in progress or ended."),
        probe=_TEXT,
        operation=_TEXT,
        object=_noted(_TEXT, "What it was done to, such as the type of the file system."),
        in_progress=_BOOLEAN,
        start_time_seconds=_noted(_NUMBER, "Since 1970."),
        start_time_ns=_INTEGER,
        duration_seconds=_noted(_NUMBER, "So far, when it is in progress."),
        duration_ns=_INTEGER,
        result=_noted({"type": ["integer", "null"]}, "What the call returned: bytes, or the negative errno; null when it is in progress."),
        process=_ref("ProcessKey"),
        process_name=_TEXT,
        program=_noted(_TEXT, "The path of what the process runs, as its mount namespace has it; empty when it is not known whole."),
        parent_pid=_INTEGER,
        tid=_INTEGER,
        comm=_noted(_TEXT, "The thread's name."),
        owner=_ref("Owner"),
        container_id=_noted(_TEXT, "Empty outside of a container."),
        file=_object(
            path=_noted(_TEXT, "Empty when it could not be told."),
            complete=_noted(_BOOLEAN, "Whether the path has its beginning."),
            device=_noted(_TEXT, "major:minor"),
            inode=_INTEGER,
        ),
        devices=_noted(_list(_TEXT), "The disks that the file lies on, by name; none when it lies on no disk, or that is not known."),
        time=_noted(
            _object(
                on_cpu_ns=_INTEGER,
                runqueue_ns=_INTEGER,
                unattributed_ns=_INTEGER,
                blocked_ns={"type": "object", "additionalProperties": _INTEGER},
            ),
            "Where the duration went: the parts sum to it; `blocked_ns` is by reason.",
        ),
        waits=_noted(
            _list(_object(offset_ns=_INTEGER, blocked_ns=_INTEGER, runqueue_ns=_INTEGER, reason=_TEXT)),
            "The first waits of 1 ms and more; `offset_ns` is from the start of the operation.",
        ),
        waits_seen=_INTEGER,
        requests=_noted(
            _list(
                _object(
                    operation=_TEXT,
                    device=_noted(_TEXT, "major:minor"),
                    disk=_noted(_TEXT, "The kernel's name of the disk; empty when it is not known."),
                    sector=_noted(_INTEGER, "In units of 512 bytes; 2^64 - 1 for a flush, which is nowhere."),
                    bytes=_INTEGER,
                    offset_ns=_INTEGER,
                    held_ns=_noted(_INTEGER, "From its submission until it was made."),
                    queue_ns=_INTEGER,
                    device_ns=_INTEGER,
                    error=_noted(_INTEGER, "An errno, 0 for none."),
                )
            ),
            "The first requests of disks that served it and lasted; `offset_ns` is from the start of the operation. Of a request: itself.",
        ),
        requests_seen=_INTEGER,
        kernel_stack=_noted(_list(_TEXT), "Where its longest sleep slept, the leaf first."),
        user_stack=_noted(_list(_TEXT), "The leaf first."),
        trace_id=_noted(_TEXT, "Empty when it became no span."),
        span_id=_TEXT,
    ),
    "SlowProcess": _object(
        process=_ref("ProcessKey"),
        comm=_TEXT,
        count=_INTEGER,
        total_seconds=_NUMBER,
        total_ns=_INTEGER,
        maximum_seconds=_NUMBER,
        maximum_ns=_INTEGER,
        maximum_end_time_seconds=_noted(_NUMBER, "When the longest ended, since 1970."),
        slowest={
            "oneOf": [_ref("Event"), {"type": "null"}],
            "description": "The longest itself; null when it was not explained.",
        },
    ),
    "TreeProcess": _object(
        process=_ref("ProcessKey"),
        parent=_ref("ProcessKey"),
        depth=_noted(_INTEGER, "0 for a process whose parent is not known."),
        comm=_TEXT,
        path=_noted(_TEXT, "The program's; empty when it is not known."),
        owner=_noted(_TEXT, "Its `name`; empty until something of the process was seen."),
        alive=_BOOLEAN,
        slow=_noted(_INTEGER, "Its own slow operations."),
        slow_below=_noted(_INTEGER, "With those of every process below it."),
    ),
    "Second": _object(
        time_seconds=_noted(_INTEGER, "Since 1970."), slow=_ref("Slow"), forks=_INTEGER, execs=_INTEGER, operations=_list(_ref("Operation"))
    ),
    "ProcessStart": _object(
        kind=_noted(_TEXT, "fork, when a process began, or exec, when it became another program."),
        time_seconds=_noted(_NUMBER, "Since 1970."),
        time_ns=_INTEGER,
        process=_ref("ProcessKey"),
        parent=_ref("ProcessKey"),
        comm=_noted(_TEXT, "Its name: of a fork that of its parent, of an exec that of the program."),
        path=_noted(_TEXT, "Of an exec the program's; else empty."),
        owner=_noted(_TEXT, "Its `name`; empty when it is not known."),
    ),
    "Stack": _object(
        probe=_TEXT,
        operation=_TEXT,
        owner=_TEXT,
        count=_INTEGER,
        total_seconds=_NUMBER,
        total_ns=_INTEGER,
        maximum_seconds=_NUMBER,
        maximum_ns=_INTEGER,
        kernel_stack=_list(_TEXT),
        user_stack=_list(_TEXT),
    ),
    "Subject": _object(
        kind=_noted(_TEXT, "host, device, owner, process or file."),
        name=_noted(_TEXT, "A device's, an owner's unit, `comm[pid]` or a path; empty for the host."),
        volume=_noted(_TEXT, "What identifies a device beyond its host: its WWN or the handle of its volume; empty where nothing does."),
        workload=_noted(_TEXT, "What an owner is a part of in the cluster, `namespace/Kind/name`; empty where that is not known."),
    ),
    "Signal": _object(
        metric=_TEXT,
        subject=_ref("Subject"),
        value=_NUMBER,
        unit=_TEXT,
        text=_TEXT,
        source=_TEXT,
        samples=_INTEGER,
        quality=_TEXT,
        baseline={"type": ["number", "null"]},
        detail=_TEXT,
    ),
    "Recording": _object(
        victims=_list(_object(subject=_ref("Subject"), seconds=_NUMBER)),
        on_device=_noted(
            _list(_object(device=_ref("Subject"), subject=_ref("Subject"), seconds=_NUMBER)), "Whose slow time was on which disk."
        ),
        waits=_list(_object(subject=_ref("Subject"), reason=_TEXT, seconds=_NUMBER)),
        culprits=_noted(
            _list(_object(kind=_TEXT, of=_ref("Subject"), subjects=_list(_ref("Subject")))), "Who may be to blame, the most likely first."
        ),
        signals=_noted(_list(_ref("Signal")), "What was measured of all of them, and what is usual."),
        changes=_noted(_list(_ref("Signal")), "What was changed before, the latest first."),
        complete=_noted(_BOOLEAN, "Whether it was kept whole: else the rules may come to something else."),
    ),
    "Fact": _object(
        id=_noted(_TEXT, "E01 to E60, within one bundle."),
        metric=_TEXT,
        subject=_ref("Subject"),
        text=_noted(_TEXT, "What it is."),
        value=_noted(_NUMBER, "Of a change: how many seconds before the window it was seen."),
        unit=_noted(_TEXT, "s, B, B/s, 1/s, ratio, or none."),
        baseline=_noted({"type": ["number", "null"]}, "What is usual; null where that is not known."),
        samples=_INTEGER,
        quality=_TEXT,
        source=_noted(_TEXT, "Where it can be checked."),
        polarity=_noted(_TEXT, "Whether it supports or refutes a cause, or is context."),
        detail=_noted(_TEXT, "What was changed; else empty."),
    ),
    "Cause": _object(
        code=_TEXT,
        score=_noted(_NUMBER, "From 0 to 1."),
        confidence=_noted(_TEXT, "low, medium or high."),
        subject=_ref("Subject"),
        culprit={"oneOf": [_ref("Subject"), {"type": "null"}], "description": "Who is to blame; null for nobody in particular."},
        victims=_list(_ref("Subject")),
        claim=_TEXT,
        supporting=_noted(_list(_TEXT), "Ids of facts."),
        against=_noted(_list(_TEXT), "Ids of facts."),
        explains=_noted(_NUMBER, "The part of the slow time that it accounts for."),
        contributing=_noted(_BOOLEAN, "Whether it is the effect of another one."),
        actions=_list(_object(id=_TEXT, text=_TEXT, command=_TEXT, risk=_TEXT, reversible=_BOOLEAN, verify=_TEXT)),
    ),
    "Analysis": _object(
        host=_TEXT,
        start_time_ns=_INTEGER,
        end_time_ns=_INTEGER,
        onset_time_ns=_noted(_INTEGER, "0 when it is not known."),
        verdict=_TEXT,
        slow_operations=_INTEGER,
        slow_seconds=_NUMBER,
        victims=_list(_object(subject=_ref("Subject"), seconds=_NUMBER)),
        facts=_list(_ref("Fact")),
        causes=_noted(_list(_ref("Cause")), "Those that score at all, the best first."),
        gaps=_noted(_list(_TEXT), "What could not be measured."),
        recording={
            "oneOf": [_ref("Recording"), {"type": "null"}],
            "description": "What the rules were applied to, for `perflens analyze --replay`; null of quiet and of older ones.",
        },
    ),
    "Member": _object(
        host=_TEXT,
        id=_noted(_TEXT, "The id at that host's agent."),
        state=_TEXT,
        severity=_TEXT,
        cause=_TEXT,
        subject=_ref("Subject"),
        opened_time_ns=_INTEGER,
        updated_time_ns=_INTEGER,
    ),
    "Incident": _object(
        id=_TEXT,
        host=_TEXT,
        state=_noted(_TEXT, "open or resolved."),
        severity=_noted(_TEXT, "warning or critical."),
        cause=_noted(_TEXT, "The code of the first cause, or UNEXPLAINED."),
        subject=_ref("Subject"),
        opened_time_ns=_INTEGER,
        updated_time_ns=_INTEGER,
        last_bad_time_ns=_noted(_INTEGER, "The end of the last window in which it showed."),
        resolved_time_ns=_noted(_INTEGER, "0 while it is open."),
        summary=_TEXT,
        source=_noted(_TEXT, "Whose words the summary has."),
        model=_TEXT,
        reopened=_noted(_INTEGER, "How often it came back within ten minutes."),
        causes=_noted(_list(_ref("Cause")), "At most three, independent of each other."),
        members=_noted(_list(_ref("Member")), "Of one of a fleet the incidents of hosts that it consists of; else empty."),
        merged_by=_noted(_TEXT, "What these have in common: volume, workload or cause; empty for a single one."),
        history=_list(_object(time_ns=_INTEGER, cause=_TEXT)),
        analysis=_ref("Analysis"),
    ),
    "Config": _noted({"type": "object", "additionalProperties": _ref("Setting")}, "Sections and keys, as in the configuration file."),
    "Setting": {
        "oneOf": [_ref("Config"), _TEXT, _BOOLEAN, _INTEGER, _list(_TEXT)],
        "description": "A section, or the value of a key; durations are text, such as 5ms.",
    },
    "Summary": _object(
        version=_TEXT,
        window_seconds=_noted(_INTEGER, "What the counts below are of."),
        slow=_ref("Slow"),
        operations=_list(_ref("Operation")),
        forks=_INTEGER,
        execs=_INTEGER,
        slow_processes=_noted(_INTEGER, "Processes with slow operations."),
        processes=_noted(_INTEGER, "Processes that are known and live."),
        in_progress=_noted(_INTEGER, "Operations past the threshold that have not ended."),
        probes=_list(_object(name=_TEXT, attached=_BOOLEAN, mechanism=_TEXT, reason=_TEXT, cure=_TEXT)),
        evicted=_noted(
            {"type": "object", "additionalProperties": _INTEGER},
            "How many entries had to go before their time, since the start: events, processes, process_starts, slow_processes, stacks.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below /api/v1, what it answers and the parameters that it knows."""

    path: str
    meaning: str
    parameters: tuple[str, ...]
    answer: Schema

    @property
    def name(self) -> str:
        """The field of ``Api`` that answers it."""
        return self.path.replace("-", "_")


ENDPOINTS = (
    Endpoint("summary", "The last five minutes at a glance.", (), _ref("Summary")),
    Endpoint(
        "processes",
        "The slowest processes of the last five minutes, by their longest operation and by all their slow time: ten of each at most.",
        ("limit",),
        _object(by_maximum=_list(_ref("SlowProcess")), by_total=_list(_ref("SlowProcess")), processes=_INTEGER),
    ),
    Endpoint(
        "process-tree",
        "Every process after its parent, those with the most slow operations at or below them first.",
        ("ended", "limit"),
        _object(processes=_list(_ref("TreeProcess")), total=_noted(_INTEGER, "Processes that are known.")),
    ),
    Endpoint(
        "timeline",
        "Second by second, the oldest first; the last one is not over yet.",
        ("seconds",),
        _object(seconds=_list(_ref("Second"))),
    ),
    Endpoint(
        "process-starts",
        "The newest forks and execs of the last five minutes, the newest first: 1,000 are kept; `/timeline` counts them all.",
        ("since", "limit"),
        _object(starts=_list(_ref("ProcessStart"))),
    ),
    Endpoint(
        "events",
        "Slow operations, the newest first; after a cursor the oldest first.",
        _FILTERS,
        _object(
            events=_list(_ref("Event")),
            cursor=_noted(_TEXT, "The place after this answer, for `after`; one of an agent that was restarted begins otherwise."),
            missed=_noted(_INTEGER, "After a cursor: operations that were told after it and are kept no more, whether they fit or not."),
        ),
    ),
    Endpoint(
        "stacks",
        "Identical stacks of the last five minutes, the one with the most slow time first.",
        ("probe", "operation", "owner", "limit"),
        _object(stacks=_list(_ref("Stack"))),
    ),
    Endpoint(
        "incidents",
        "Incidents, the newest first.",
        ("state", "id", "limit"),
        _object(host=_noted(_TEXT, "Whose they are."), incidents=_list(_ref("Incident"))),
    ),
    Endpoint(
        "analyses",
        "The evidence of the last windows in which something was slow, the newest first.",
        ("since", "limit"),
        _object(analyses=_list(_ref("Analysis"))),
    ),
    Endpoint("config", "The configuration that is in force, defaults included. It holds no secret.", (), _object(config=_ref("Config"))),
)

_ERRORS = {
    "400": "A parameter cannot be used.",
    "401": "The token is missing or wrong.",
    "403": "The API answers loopback clients only, or a page of another site asks.",
    "503": "The agent is not ready.",
}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _operation(endpoint: Endpoint) -> Schema:
    responses = {"200": {"description": endpoint.meaning, "content": _json(endpoint.answer)}}
    responses.update({code: {"description": text, "content": _json(_ref("Error"))} for code, text in _ERRORS.items()})
    return {
        "operationId": endpoint.name,
        "summary": endpoint.meaning,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in endpoint.parameters],
        "responses": responses,
    }


def document(endpoints: Sequence[Endpoint] = ENDPOINTS) -> Schema:
    """Return the document of these endpoints."""
    parameters = {
        own.name: {"name": own.name, "in": "query", "required": False, "description": own.meaning, "schema": own.schema}
        for own in PARAMETERS.values()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PerfLens",
            "version": __version__,
            "summary": "Slow operations of one host.",
            "license": {"name": "GPL-3.0-only", "identifier": "GPL-3.0-only"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{}, {"token": []}, {"password": []}, {"certificate": []}],
        "paths": {f"/{endpoint.path}": {"get": _operation(endpoint)} for endpoint in endpoints},
        "components": {
            "schemas": _SCHEMAS,
            "parameters": parameters,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Loopback clients need none."},
                "password": {"type": "http", "scheme": "basic", "description": "Where the web configuration names users."},
                "certificate": {"type": "mutualTLS", "description": "Where the web configuration names authorities of clients."},
            },
        },
    }
