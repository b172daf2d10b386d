"""From the ring to what the API shows: intake, explainer and views, over a ring of this test."""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from perflens.agent.explainer import Explainer
from perflens.agent.intake import Intake
from perflens.agent.running import RunningOperations
from perflens.agent.views import Views
from perflens.aggregate.evidence import EvidenceStore, Wanted
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.stacks import Stacks
from perflens.aggregate.timeline import Timeline
from perflens.analysis import ModelRequest
from perflens.config import Settings
from perflens.enrich.owners import Owners
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.export.otlp.spans import NoSpans, SpanIds
from perflens.http import api
from perflens.http.access import Access
from perflens.http.openapi import ENDPOINTS, document
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import BlockRequest, CgroupEvent, Evidence, Owner, ProbeState, ProcessKey, SlowEvent, UserFrame
from perflens.probes.file import PROBE
from perflens.testing import FakeCells
from tests.evidence import slow_event
from tests.openapi import problems

SECOND, MS = 10**9, 10**6
EVENT = object_types(object_path("file", inspect().machine)).struct("event")
DOCKER = "/system.slice/docker-" + "3f4e" * 16 + ".scope"


class FakeTree:
    searchable = True

    def is_gone(self, *_: object) -> bool:
        return False

    def find(self, cgroup_id: int) -> None:
        return None


class FakeSpans(NoSpans):
    """Gives each operation the next ids, and fails for those of one process."""

    def __init__(self) -> None:
        super().__init__()
        self.emitted: list[Evidence] = []
        self.joined: list[Evidence] = []
        self.chats: list[ModelRequest] = []

    def chat(self, request: ModelRequest) -> None:
        self.chats.append(request)

    def emit(self, evidence: Evidence, joined: Sequence[Evidence] = ()) -> SpanIds | None:
        if evidence.event.process.pid == 666:
            raise RuntimeError("a bug")
        self.emitted.append(evidence)
        self.joined += joined
        number = len(self.emitted)
        requests = () if evidence.event.is_request else evidence.event.requests
        return SpanIds(f"{number:032x}", f"{number:016x}", {own.identity: f"c{own.sector:015x}" for own in requests})


@dataclass
class FakeKernel:
    def name(self, address: int) -> str:
        return f"kernel+{address:#x}"

    def rest(self, seconds: float = 0) -> None:
        """Nothing to let go."""


@dataclass
class FakeUser:
    asked: list[tuple[ProcessKey, tuple[int, ...]]] = field(default_factory=list)
    learned: list[tuple[str, int]] = field(default_factory=list)

    def names(self, process: ProcessKey, frames: tuple[UserFrame, ...], near: tuple[int, ...] = ()) -> tuple[str, ...]:
        self.asked.append((process, tuple(near)))
        return tuple(f"user+{frame.offset:#x}" for frame in frames)

    def learn_path(self, path: str, pid: int = 0) -> bool:
        self.learned.append((path, pid))
        return True

    def close(self) -> None:
        """Nothing to end."""


class Own:
    """Intake, explainer and views of one probe."""

    def __init__(self, rate: int = 1_000) -> None:
        self.cells, self.spans, self.user = FakeCells("file", PROBE), FakeSpans(), FakeUser()
        self.explainer = Explainer(
            FakeKernel(),  # type: ignore[arg-type]
            self.user,  # type: ignore[arg-type]
            self.spans,
            EvidenceStore(time.monotonic_ns),
            Stacks(),
            lambda owner: Owner(owner, DOCKER if owner == 5 else "/a.service", "a.service"),
            lambda process: process.pid != 404,
            rate=rate,
        )
        self.cgroups: list[CgroupEvent] = []
        processes = Processes(Procfs(""), time.monotonic_ns)
        self.intake = Intake(Timeline(time.monotonic_ns), Slowest(), processes, self.explainer, lambda _: 7, self.cgroups.append)
        self.explainer.note = self.intake.note
        self.source = RunningOperations("file", PROBE, self.cells, inspect().machine, Owners(FakeTree()), Settings())
        self.intake.add(self.source)
        self.drainer = ThreadPoolExecutor(max_workers=1)
        states = [ProbeState("file", attached=True, mechanism="fake")]
        self.views = Views(self.intake, self.explainer, self.drainer, time.monotonic_ns, lambda: states, lambda owner: None)

    def emit(self, **chosen: Any) -> None:
        """Write an event into the ring as the kernel side does; parts that are too long for it may be claimed."""
        duration = chosen.pop("duration", 10 * MS)
        values: dict[str, Any] = {"start": time.monotonic_ns() - duration, "duration": duration, "pid": 100, "tid": 100, "owner": 7}
        values |= {
            "process_start": 5 * SECOND,
            "result": 4_096,
            "runqueue": MS,
            "comm": b"worker",
            "process_name": b"db",
            "object": b"ext4",
        }
        payload = bytearray(EVENT.size)
        for name, value in {**values, **chosen}.items():
            own = EVENT[name]
            code = f"{own.size}s" if isinstance(value, bytes) else own.code
            struct.pack_into(f"={code}", payload, own.offset, value)
        producer = self.cells.ring._producer
        at = struct.unpack_from("=Q", producer)[0]
        struct.pack_into("=II", producer, mmap.PAGESIZE + at, len(payload), 0)
        producer[mmap.PAGESIZE + at + 8 : mmap.PAGESIZE + at + 8 + len(payload)] = bytes(payload)
        struct.pack_into("=Q", producer, 0, at + 8 + -(-len(payload) // 8) * 8)

    def explained(self) -> None:
        """Drain, and wait until the explainer has nothing to do."""
        self.intake.drain()
        self.explainer.executor.submit(lambda: None).result(10)
        self.intake.drain()

    def recent(self) -> list[Evidence]:
        return self.explainer.store.recent(Wanted(), 1_000)

    def counts(self) -> tuple[int, int, int, int]:
        """Events read, explained, unexplained and undecodable."""
        own, explainer = self.intake, self.explainer
        unexplained = own.unexplained["file"] + explainer.failed["file"]
        return own.read["file"], explainer.explained["file"], unexplained, own.undecodable["file"]

    def end(self) -> None:
        self.explainer.close()
        self.drainer.shutdown()


@pytest.fixture
def own() -> Iterator[Own]:
    made = Own()
    yield made
    made.end()


def test_every_event_is_in_every_sum(own: Own) -> None:
    """Timeline, slowest processes, table of processes, evidence and stacks tell of the same operations."""
    for pid, ms in ((100, 10), (100, 30), (200, 20)):
        own.emit(pid=pid, duration=ms * MS, operation=1)
    own.explained()
    window, top = own.intake.timeline.window(), own.intake.slowest.top(time.monotonic_ns())

    assert own.counts() == (3, 3, 0, 0)
    assert {key: (slow.count, slow.ns) for key, slow in window.operations.items()} == {("file", "write"): (3, 60 * MS)}
    assert [(each.process.pid, each.count, each.evidence.event.duration) for each in top.by_maximum if each.evidence] == [
        (100, 2, 30 * MS),
        (200, 1, 20 * MS),
    ]
    assert sorted(evidence.event.duration for evidence in own.recent()) == [10 * MS, 20 * MS, 30 * MS]
    assert len(own.intake.processes) == 2
    assert not own.intake.has_news


def test_what_is_too_much_is_counted(own: Own) -> None:
    """Above the rate the longest are explained, with the slowest of each process first, and all the others are counted."""
    own.explainer.rate, own.explainer._budget = 2, 2.0
    for ms in (10, 50, 30, 40, 20):
        own.emit(duration=ms * MS)
    own.explained()

    assert own.counts() == (5, 2, 3, 0)
    assert sorted(evidence.event.duration for evidence in own.recent()) == [40 * MS, 50 * MS]
    assert own.intake.timeline.window().operations["file", "read"].count == 5


def test_rate_is_a_bucket_that_fills(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second's worth is had at once; then as much as time brings; what was not needed is given back."""
    now = 1_000.0
    monkeypatch.setattr("perflens.agent.explainer.time.monotonic", lambda: now)
    explainer = own.explainer
    explainer._filled_at = now

    assert (explainer.room(700), explainer.room(700), explainer.room(1)) == (700, 300, 0)
    now += 0.25
    assert explainer.room(10_000) == 250
    explainer.give_back(100)
    assert explainer.room(10_000) == 100
    now += 3_600
    assert explainer.room(10_000) == 1_000


def test_damaged_event_costs_no_other(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    """A record whose parts do not fit into it is counted and told once; those beside it are explained."""
    own.emit(duration=10 * MS)
    for _ in range(2):
        own.emit(duration=20 * MS, kernel_frames=100)
    own.emit(duration=30 * MS)
    own.explained()

    assert own.counts() == (4, 2, 0, 2)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["an event cannot be decoded"]


def test_suppressed_operations_are_on_the_timeline(own: Own) -> None:
    """Slow operations that became no event, being above their owner's rate, are counted with the others."""
    for _ in range(3):
        own.cells.count("suppressed")
    own.emit()
    own.explained()
    window = own.intake.timeline.window()

    assert (window.slow.count, window.slow.suppressed) == (4, 3)
    assert window.operations["file", "other"].suppressed == 3


def test_evidence(own: Own) -> None:
    """What was found out: owner, container, time of day, names of the frames and the ids of the span."""
    event = slow_event(owner_id=5, end=time.monotonic_ns())
    own.explainer.put(own.source, [event])
    own.explained()
    (found,) = own.recent()

    assert (found.owner.path, found.container_id) == (DOCKER, "3f4e" * 16)
    assert abs(found.wall_start + event.duration - time.time_ns()) < SECOND
    assert (found.kernel_stack, found.user_stack) == (("kernel+0xffffffff81000000",), ("user+0x1234",))
    assert (found.trace_id, found.span_id) == (f"{1:032x}", f"{1:016x}")
    assert own.spans.emitted[0].trace_id == ""
    assert own.user.asked == [(event.process, (1,))]
    assert own.user.learned == []


def test_what_is_the_same_is_kept_once(own: Own) -> None:
    """Files, processes, names and stacks of many operations are one object each; what differs stays apart."""
    for _ in range(3):
        own.emit()
    own.emit(pid=200, process_name=b"other")
    own.explained()
    *same, other = sorted(own.recent(), key=lambda found: found.event.process.pid)

    for name in ("file", "process", "comm", "process_name", "object_name"):
        assert len({id(getattr(found.event, name)) for found in same}) == 1
    assert len({id(found.kernel_stack) for found in same}) == 1
    assert (other.event.process, other.event.process_name) == (ProcessKey(200, 5 * SECOND), "other")


def test_program_of_a_process_that_has_ended_is_read(own: Own) -> None:
    """Its symbols are looked up by the path that the event brought, and not when there is no stack to be named."""
    gone = slow_event(pid=404, program="/usr/bin/gone", end=time.monotonic_ns())
    bare = slow_event(pid=404, program="/usr/bin/bare", user_stack=(), end=time.monotonic_ns())
    own.explainer.put(own.source, [gone, bare])
    own.explained()

    assert own.user.learned == [("/usr/bin/gone", 1)]


def test_bug_in_one_operation_costs_no_other(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be explained is counted, told with a traceback, and leaves the next ones alone."""
    for pid in (100, 666, 200):
        own.emit(pid=pid, tid=pid)
    own.explained()

    assert own.counts() == (3, 2, 1, 0)
    assert sorted(evidence.event.process.pid for evidence in own.recent()) == [100, 200]
    assert [record.message for record in caplog.records if record.exc_info] == ["an operation could not be explained"]


def block_request(number: int, start: int, operation_start: int, tid: int = 100) -> SlowEvent:
    """A slow request of an operation."""
    own = BlockRequest("write", (8, 0), number, 512, start, 0, MS, 9 * MS, 0, "sda")
    blocked = {"held": 0, "queue": MS, "device": 9 * MS}
    return slow_event(
        probe="block", start=start, tid=tid, requests=(own,), is_request=True, operation_start=operation_start, blocked=blocked, waits=()
    )


def test_requests_are_joined_to_their_operation(own: Own) -> None:
    """A slow request waits for its operation and is told of with it: in its trace, as the span below it."""
    start = time.monotonic_ns() - 50 * MS
    own.explainer.put(own.source, [block_request(1, start + MS, start), block_request(2, start + 2 * MS, 0)])
    own.explained()
    assert [(kept.event.requests[0].sector, kept.span_id) for kept in own.recent()] == [(2, f"{1:016x}")]
    own.explainer.put(own.source, [slow_event(start=start, tid=100, duration=40 * MS)])
    own.explained()
    request, operation, _ = own.recent()

    assert [one.sector for one in operation.event.requests] == [1]
    assert (request.trace_id, request.span_id) == (operation.trace_id, f"c{1:015x}") == (f"{2:032x}", f"c{1:015x}")
    assert [one.event.requests[0].sector for one in own.spans.joined] == [1]
    own.explainer.put(own.source, [block_request(1, start + MS, start), block_request(3, start + 3 * MS, start)])
    own.explained()
    assert [kept.span_id for kept in own.recent()[:2]] == [f"{3:016x}", f"c{1:015x}"]
    assert own.explainer.explained["file"] == 5


def test_requests_that_wait_for_nothing(own: Own) -> None:
    """A request whose operation was not slow is a span of its own in the end, and so is one that waits at the end."""
    now = time.monotonic_ns()
    own.explainer.put(own.source, [block_request(1, now - 30 * SECOND, now - 31 * SECOND), block_request(2, now, now - SECOND)])
    own.explained()
    assert own.recent() == []
    own.explainer.settle()
    own.explained()
    assert [kept.event.requests[0].sector for kept in own.recent()] == [1]
    own.explainer.close()

    assert [kept.event.requests[0].sector for kept in own.recent()] == [2, 1]
    assert (own.explainer.explained["file"], own.explainer.failed["file"]) == (2, 0)


def test_bug_in_an_operation_lets_its_requests_go(own: Own) -> None:
    """Requests that waited for an operation which cannot be told of are told of by themselves."""
    start = time.monotonic_ns() - 50 * MS
    own.explainer.put(own.source, [block_request(1, start + MS, start), slow_event(start=start, tid=100, pid=666)])
    own.explained()

    assert [kept.event.requests[0].sector for kept in own.recent()] == [1]
    assert (own.explainer.explained["file"], own.explainer.failed["file"]) == (1, 1)


def test_operations_in_progress(own: Own) -> None:
    """They are shown until a look finds them no more, and are neither spans nor in a sum."""
    end = time.monotonic_ns()
    events = [slow_event(pid=pid, in_progress=True, duration=2 * SECOND, end=end) for pid in (1, 2)]

    def shown(some: list[SlowEvent]) -> list[int]:
        own.explainer.put_in_progress(own.source, some)
        own.explained()
        return sorted(each.event.process.pid for each in own.explainer.store.in_progress(Wanted(), 10))

    assert shown(events) == [1, 2]
    assert shown(events[:1]) == [1]
    assert shown([]) == []
    assert (own.spans.emitted, own.counts()) == ([], (0, 0, 0, 0))


def test_end_does_not_wait_for_what_was_not_begun() -> None:
    """Of a thousand operations that take long to explain only the one in hand is finished."""
    own = Own()
    own.user.names = lambda *_, **__: time.sleep(0.2) or ()  # type: ignore[method-assign, func-returns-value]
    own.explainer.put(own.source, [slow_event(pid=pid, end=time.monotonic_ns()) for pid in range(1, 1_000)])
    time.sleep(0.1)
    began = time.monotonic()
    own.end()

    assert time.monotonic() - began < 2
    assert own.explainer.explained["file"] < 10
    assert own.explainer.explained["file"] + own.explainer.failed["file"] == 999


def test_last_operations_become_spans() -> None:
    """What was handed in before the end is explained, if that does not take long."""
    own = Own()
    own.explainer.put(own.source, [slow_event(pid=pid, end=time.monotonic_ns()) for pid in range(1, 100)])
    own.end()

    assert (len(own.spans.emitted), own.explainer.failed["file"]) == (99, 0)


async def ask(own: Own, path: str) -> Any:
    app = Application()
    app.add_subapp("/api", api.application(own.views.api(), Access(), lambda: True))
    client: TestClient[Request, Application]
    async with TestClient(TestServer(app)) as client, client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
async def test_views_answer_what_the_document_says(own: Own, endpoint: Any, busy: bool) -> None:
    """Each view, on the thread that owns what it shows, answers as declared."""
    if busy:
        fill(own)

    assert list(problems(await ask(own, endpoint.path), endpoint.answer, document())) == []


def fill(own: Own) -> None:
    for pid, ms in ((100, 10), (101, 30), (101, 20)):
        own.emit(pid=pid, tid=pid, duration=ms * MS)
    own.explained()
    events = [slow_event(pid=101, in_progress=True, duration=9 * SECOND, end=time.monotonic_ns())]
    own.explainer.put_in_progress(own.source, events)
    own.explained()


async def test_views_tell_one_story(own: Own) -> None:
    """Summary, processes, timeline, events and those in progress have the same numbers."""
    fill(own)
    paths = ("summary", "processes", "process-tree", "timeline", "events", "events?in_progress=true")
    summary, top, tree, timeline, events, in_progress = await asyncio.gather(*(ask(own, path) for path in paths))

    assert (summary["slow"]["count"], summary["slow"]["duration_ns"], summary["in_progress"]) == (3, 60 * MS, 1)
    assert [(each["process"]["pid"], each["count"], each["slowest"]["duration_ns"]) for each in top["by_total"]] == [
        (101, 2, 30 * MS),
        (100, 1, 10 * MS),
    ]
    assert tree["total"] == 2
    assert sum(each["slow"]["count"] for each in timeline["seconds"]) == 3
    assert sorted(each["duration_ns"] for each in events["events"]) == [10 * MS, 20 * MS, 30 * MS]
    assert [each["process"]["pid"] for each in in_progress["events"]] == [101]


def test_questions_to_a_model_are_spans() -> None:
    """They are made on the explainer's thread, like all spans; after its end there is none."""
    own, request = Own(), ModelRequest("http://m/v1", "m", 1, 2, True, 600)
    own.explainer.chat(request)
    own.explainer.close()
    own.explainer.chat(request)

    assert own.spans.chats == [request]
