"""From events to the answers of the API, wired as the agent wires them: every answer is what the document says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from perflens.aggregate.evidence import Cursor, EvidenceStore, Wanted
from perflens.aggregate.newest import NewestStarts
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.stacks import Stacks
from perflens.aggregate.timeline import Timeline
from perflens.analysis import Incident
from perflens.analyzer.actions import ACTIONS
from perflens.config import Settings, values
from perflens.config.settings import Probes, ProbeSettings
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.export import analysis
from perflens.export import json as shapes
from perflens.http import api
from perflens.http.access import Access
from perflens.http.api import Api
from perflens.http.openapi import ENDPOINTS, document
from perflens.http.parameters import Query
from perflens.model import Evidence, ProbeState, ProcessEvent, ProcessKey
from tests.evidence import SECOND, evidence
from tests.openapi import problems
from tests.unit.analyzer.test_values import INCIDENT

NOW = 1_000 * SECOND
OFFSET = 1_700_000_000 * SECOND


class Agent:
    """The stages, and the API's callables on top of them."""

    def __init__(self) -> None:
        self.timeline, self.processes = Timeline(self.clock), Processes(Procfs(""), self.clock)
        self.starts = NewestStarts(self.clock)
        self.slowest, self.store, self.stacks = Slowest(), EvidenceStore(self.clock), Stacks()
        self.told: list[Incident] = []

    @staticmethod
    def clock() -> int:
        return NOW

    def take(self, one: Evidence) -> None:
        """One slow operation, as it comes from the kernel."""
        event, end = one.event, one.event.start + one.event.duration
        self.processes.see(event)
        self.store.add(one)
        self.stacks.add(one)
        if not event.in_progress:
            self.timeline.add_slow(end // SECOND, event.probe, event.operation, 1, event.duration)
            if self.slowest.add(event.process, event.process_name, event.duration, end):
                self.slowest.attach(one)

    def api(self) -> Api:
        def view(work: Callable[[Query], Any]) -> api.View:
            async def answer(query: Query) -> Any:
                return work(query)

            return answer

        processes = self.summary, self.top, self.tree, self.seconds, self.process_starts
        every = *processes, self.events, self.stack_list, self.incidents, self.analyses, self.config
        return Api(*map(view, every))

    def summary(self, _: Query) -> Any:
        evicted = {"events": self.store.evicted, "processes": self.processes.evicted}
        return shapes.summary(
            "1.0",
            self.timeline.window(),
            self.timeline.seconds,
            slow_processes=self.slowest.top(NOW).processes,
            processes=self.processes.living,
            in_progress=len(self.store.in_progress(Wanted(), 1_000)),
            probes=(ProbeState("file", attached=True, mechanism="tp_btf"),),
            evicted=evicted,
        )

    def top(self, query: Query) -> Any:
        top = self.slowest.top(NOW)
        by_maximum, by_total = ([shapes.slow_process(own, OFFSET) for own in own[: query.limit]] for own in (top.by_maximum, top.by_total))
        return {"by_maximum": by_maximum, "by_total": by_total, "processes": top.processes}

    def tree(self, query: Query) -> Any:
        counts = self.slowest.counts(NOW)
        nodes = islice(self.processes.tree(lambda key: counts.get(key, 0), ended=query.ended), query.limit)
        found = [shapes.tree_process(own.process, own.depth, "", (counts.get(own.process.key, 0), own.weight)) for own in nodes]
        return {"processes": found, "total": len(self.processes)}

    def seconds(self, query: Query) -> Any:
        return {"seconds": [shapes.second(bucket, OFFSET) for bucket in self.timeline.buckets(query.seconds)]}

    def process_starts(self, query: Query) -> Any:
        return {"starts": [shapes.process_start(own, "", OFFSET) for own in self.starts.newest(query.limit, query.since - OFFSET)]}

    def events(self, query: Query) -> Any:
        wanted = Wanted(query.probe, query.operation, query.owner, query.pid, query.min_duration, query.since)
        if query.after is not None:
            return shapes.events(*self.store.after(Cursor(*query.after), wanted, query.limit))
        found = (self.store.in_progress if query.in_progress else self.store.recent)(wanted, query.limit)
        return shapes.events(found, self.store.cursor)

    def stack_list(self, query: Query) -> Any:
        top = self.stacks.top(NOW, query.limit, probe=query.probe, operation=query.operation, owner=query.owner)
        return {"stacks": list(map(shapes.stack, top))}

    def incidents(self, query: Query) -> Any:
        return {"host": "h", "incidents": [analysis.incident(own, ACTIONS) for own in self.told[: query.limit]]}

    def analyses(self, query: Query) -> Any:
        return {"analyses": [analysis.bundle(own.bundle, ACTIONS) for own in self.told[: query.limit]]}

    def config(self, _: Query) -> Any:
        return {"config": values(Settings(probes=Probes(by_name={"file": ProbeSettings(thresholds={"fsync": 10**8})})))}


@pytest.fixture
def agent() -> Agent:
    own, shell, worker = Agent(), ProcessKey(100, 100 * SECOND), ProcessKey(101, 101 * SECOND)
    own.processes.apply([ProcessEvent("fork", NOW, worker, shell, "sh", 7, "")])
    own.starts.add(
        [ProcessEvent("fork", NOW - 2, worker, shell, "sh", 7, ""), ProcessEvent("exec", NOW - 1, worker, shell, "db", 7, "/bin/db")]
    )
    own.timeline.add_processes(NOW // SECOND, 1, 0)
    for pid, ms in ((100, 10), (101, 30), (101, 20)):
        own.take(evidence(pid=pid, duration=ms * 10**6, end=NOW - ms))
    own.take(evidence(pid=101, in_progress=True, duration=9 * SECOND, end=NOW))
    own.told = [INCIDENT]
    return own


async def ask(agent: Agent, path: str) -> Any:
    app = Application()
    app.add_subapp("/api", api.application(agent.api(), Access(), lambda: True))
    client: TestClient[Request, Application]
    async with TestClient(TestServer(app)) as client, client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
async def test_answers_are_what_the_document_says(agent: Agent, endpoint: Any, busy: bool) -> None:
    """Every field is declared and every declared field is there, of the type that was declared."""
    answer = await ask(agent if busy else Agent(), endpoint.path)

    assert list(problems(answer, endpoint.answer, document())) == []


async def test_numbers_agree(agent: Agent) -> None:
    """The views tell one story."""
    summary, top, tree = [await ask(agent, path) for path in ("summary", "processes", "process-tree")]
    assert (summary["slow"]["count"], summary["slow"]["duration_ns"], summary["in_progress"], summary["processes"]) == (3, 60 * 10**6, 1, 2)
    assert [(own["process"]["pid"], own["count"], own["slowest"]["duration_ns"]) for own in top["by_total"]] == [
        (101, 2, 30 * 10**6),
        (100, 1, 10**7),
    ]
    assert [(own["process"]["pid"], own["depth"], own["slow"], own["slow_below"]) for own in tree["processes"]] == [
        (100, 0, 1, 3),
        (101, 1, 2, 2),
    ]

    seconds = (await ask(agent, "timeline"))["seconds"]
    assert sum(own["slow"]["count"] for own in seconds) == 3
    stacks = (await ask(agent, "stacks"))["stacks"]
    assert [(own["count"], own["total_ns"]) for own in stacks] == [(3, 60 * 10**6)]


async def test_events_after_a_cursor(agent: Agent) -> None:
    """The cursor of one answer leads to the next one, in the order in which operations ended."""
    newest = await ask(agent, "events?limit=1")
    assert (len(newest["events"]), newest["missed"]) == (1, 0)
    store = newest["cursor"].partition("-")[0]
    assert newest["cursor"] == f"{store}-3"
    assert (await ask(agent, f"events?after={newest['cursor']}"))["events"] == []

    every = await ask(agent, f"events?after={store}-0&limit=2")
    assert ([own["duration_ns"] for own in every["events"]], every["cursor"]) == ([10**7, 3 * 10**7], f"{store}-2")
    agent.take(evidence(pid=7, end=NOW))
    assert [own["process"]["pid"] for own in (await ask(agent, f"events?after={newest['cursor']}"))["events"]] == [7]


async def test_forks_and_execs(agent: Agent) -> None:
    """One by one, the newest first, from a time on."""
    fork = {"pid": 101, "start_ns": 101 * SECOND}
    (newest, oldest) = (await ask(agent, "process-starts"))["starts"]

    assert (newest["kind"], newest["comm"], newest["path"], newest["time_ns"]) == ("exec", "db", "/bin/db", NOW - 1 + OFFSET)
    assert (oldest["kind"], oldest["comm"], oldest["path"], oldest["process"]) == ("fork", "sh", "", fork)
    assert (await ask(agent, "process-starts?limit=1"))["starts"] == [newest]
    assert (await ask(agent, f"process-starts?since={(NOW + OFFSET) // SECOND + 1}"))["starts"] == []


async def test_limits_and_filters(agent: Agent) -> None:
    """An answer is as short as it was asked to be, and holds what was asked for."""
    assert len((await ask(agent, "events?limit=2"))["events"]) == 2
    assert [own["duration_ns"] for own in (await ask(agent, "events?pid=101&min_duration=25ms"))["events"]] == [30 * 10**6]
    assert [own["in_progress"] for own in (await ask(agent, "events?in_progress=true"))["events"]] == [True]
    assert len((await ask(agent, "timeline?seconds=5"))["seconds"]) == 5
    assert len((await ask(agent, "process-tree?limit=1"))["processes"]) == 1
    agent.processes.apply([ProcessEvent("exit", NOW, own, own, "", 7, "") for own in (ProcessKey(101, 101 * SECOND),)])
    assert len((await ask(agent, "process-tree?ended=false"))["processes"]) == 2, "it was slow"
    assert (await ask(agent, "stacks?owner=nobody"))["stacks"] == []
