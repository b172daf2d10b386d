"""export/json.py: every shape is what the OpenAPI document says of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from perflens.aggregate.slowest import Slowest
from perflens.aggregate.stacks import Stacks
from perflens.aggregate.timeline import Timeline
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.export import json as shapes
from perflens.http.escaped import encode
from perflens.http.openapi import document
from perflens.model import BlockRequest, FileIdentity, Pod, ProbeState, ProcessEvent, ProcessKey
from tests.evidence import SECOND, evidence
from tests.openapi import problems

NOW = 1_000 * SECOND
OFFSET = 1_700_000_000 * SECOND
HOSTILE = os.fsdecode(b'</script>"\\\n\x1b[31m\xff' + "é😀".encode())


def fits(value: Any, schema: str) -> bool:
    found = list(problems(json.loads(encode(value)), {"$ref": f"#/components/schemas/{schema}"}, document()))
    assert found == []
    return True


def test_event() -> None:
    """An event tells what the evidence holds, with exact nanoseconds, and its times sum to its duration."""
    one = evidence()
    shape = shapes.event(one)

    assert fits(shape, "Event")
    assert shape["id"] == f"file-101-{one.event.start}"
    assert (shape["duration_seconds"], shape["duration_ns"], shape["start_time_ns"]) == (0.01, 10_000_000, one.wall_start)
    assert shape["process"] == {"pid": 100, "start_ns": 100 * SECOND}
    assert shape["file"] == {"path": "/data/table", "complete": True, "device": "8:1", "inode": 42}
    assert shape["devices"] == []
    assert shapes.event(replace(one, devices=("loop0", "vda")))["devices"] == ["loop0", "vda"]
    assert shape["waits"] == [{"offset_ns": 0, "blocked_ns": 7_000_000, "runqueue_ns": 2_000_000, "reason": "io"}]
    time = shape["time"]
    assert time["on_cpu_ns"] + time["runqueue_ns"] + time["unattributed_ns"] + sum(time["blocked_ns"].values()) == 10_000_000


def test_owner() -> None:
    """An owner has its cgroup, its unit, its name, and those of its pod where there is one."""
    one = evidence(unit="/kubepods/pod1")
    pod = Pod("8f7d2c1e-5b1a-4c77-9d3e-0123456789ab", "3f4e" * 16, "shop", "web-1", "Deployment/web", "app")
    shape = shapes.event(replace(one, owner=replace(one.owner, pod=pod, label="shop/Deployment/web")))
    bare = shapes.event(one)["owner"]

    assert fits(shape, "Event")
    assert shape["owner"] == {
        "cgroup_id": one.owner.cgroup_id,
        "path": one.owner.path,
        "unit": "/kubepods/pod1",
        "name": "shop/Deployment/web",
        "namespace": "shop",
        "workload": "Deployment/web",
        "pod": "web-1",
        "pod_uid": pod.uid,
        "container": "app",
    }
    assert (bare["name"], {bare[key] for key in ("namespace", "workload", "pod", "pod_uid", "container")}) == ("/kubepods/pod1", {""})


def test_requests() -> None:
    """Requests tell where they went and what they took, from the start of the operation on; a request is told from others of its thread."""
    start = 1_000 * SECOND
    request = BlockRequest("read", (254, 1), 2**64 - 1, 4_096, start + 7, 1, 2, 3, 5, "vda1")
    shape = shapes.event(evidence(start=start, requests=(request,), requests_seen=9))
    own = shapes.event(evidence(probe="block", start=start + 7, requests=(request,), requests_seen=1, is_request=True))

    assert fits(shape, "Event")
    assert fits(own, "Event")
    assert shape["requests_seen"] == 9
    assert shape["requests"] == [
        {
            "operation": "read",
            "device": "254:1",
            "disk": "vda1",
            "sector": 2**64 - 1,
            "bytes": 4_096,
            "offset_ns": 7,
            "held_ns": 1,
            "queue_ns": 2,
            "device_ns": 3,
            "error": 5,
        }
    ]
    assert (own["id"], own["requests"][0]["offset_ns"]) == (f"block-101-{start + 7}-{2**64 - 1}", 0)


def test_event_in_progress_has_no_result() -> None:
    """What the kernel side holds there means nothing yet."""
    shape = shapes.event(evidence(in_progress=True))

    assert fits(shape, "Event")
    assert shape["result"] is None


@pytest.mark.parametrize("length", [1, 200])
def test_hostile_names(length: int) -> None:
    """Names that others chose come out as text: nothing breaks out of a page, a terminal or the document."""
    name = HOSTILE * length
    one = evidence((name,), (name,), comm=name, process_name=name, file=FileIdentity(name, True, (0, 1), 2), unit=name)
    text = encode(shapes.event(one)).decode("ascii")

    assert fits(shapes.event(one), "Event")
    assert not set(text.rstrip("\n")) & {"<", ">", "&", "\n", "\x1b", "\x7f"}
    assert json.loads(text)["comm"] == HOSTILE.replace("\udcff", "\\xff") * length


def test_timeline_and_summary() -> None:
    """A second has its wall time; the summary sums them."""
    timeline = Timeline(lambda: NOW)
    timeline.add_slow(999, "file", "read", 2, 30 * 10**6)
    timeline.add_slow(999, "block", "flush", 1, 10**9)
    timeline.add_suppressed(998, "file", "read", 1)
    timeline.add_processes(998, 4, 3)
    shape = shapes.second(timeline.buckets(2)[0], OFFSET)
    assert fits(shape, "Second")
    assert shape["time_seconds"] == 1_700_000_999
    assert [own["probe"] for own in shape["operations"]] == ["block", "file"]

    states = (ProbeState("file", attached=True, mechanism="tp_btf"), ProbeState("block", attached=False, reason="r", cure="c"))
    counts = {"slow_processes": 1, "processes": 2, "in_progress": 3}
    summary = shapes.summary("1.0", timeline.window(), timeline.seconds, probes=states, evicted={"events": 0}, **counts)
    assert fits(summary, "Summary")
    assert summary["slow"] == {"count": 3, "duration_seconds": 1.03, "duration_ns": 1_030_000_000, "suppressed": 1}
    assert (summary["forks"], summary["execs"], summary["window_seconds"]) == (4, 3, 300)


def test_slow_process() -> None:
    """A process of the top lists has its longest operation, or null."""
    slowest, one = Slowest(), evidence()
    slowest.add(one.event.process, "db", 10_000_000, NOW)
    shape = shapes.slow_process(slowest.top(NOW).by_total[0], OFFSET)
    assert fits(shape, "SlowProcess")
    assert shape["slowest"] is None
    slowest.attach(one)
    shape = shapes.slow_process(slowest.top(NOW).by_maximum[0], OFFSET)
    assert fits(shape, "SlowProcess")
    assert (shape["maximum_end_time_seconds"], shape["slowest"]["id"]) == (1_700_001_000.0, "file-101-999990000000")


def test_stack() -> None:
    """A stack has its counts."""
    stacks = Stacks()
    stacks.add(evidence())
    shape = shapes.stack(stacks.top(NOW, 1)[0])

    assert fits(shape, "Stack")
    assert (shape["count"], shape["total_ns"], shape["user_stack"]) == (1, 10_000_000, ["read+0xd [libc.so.6]"])


def test_tree_process() -> None:
    """A process of the tree says whether it lives and how much was slow."""
    table, own = Processes(Procfs(""), lambda: NOW), ProcessKey(10, 5)
    table.apply([ProcessEvent("exec", NOW, own, ProcessKey(1, 1), "sh", 7, "/bin/sh")])
    node = next(table.tree(lambda _: 3))
    shape = shapes.tree_process(node.process, node.depth, "a.service", (3, node.weight))

    assert fits(shape, "TreeProcess")
    assert (shape["alive"], shape["slow"], shape["slow_below"], shape["path"]) == (True, 3, 3, "/bin/sh")
