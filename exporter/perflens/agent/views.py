"""What the API shows, put together from what the threads of the agent own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import islice
from typing import Any

from perflens import __version__
from perflens.agent.analyzing import Analyzing
from perflens.agent.explainer import Explainer, wall_offset
from perflens.agent.intake import Intake
from perflens.aggregate.evidence import Cursor, Wanted
from perflens.analyzer.actions import ACTIONS
from perflens.config import Settings, values
from perflens.export import analysis
from perflens.export import json as shapes
from perflens.http.api import Api, View
from perflens.http.parameters import Query
from perflens.model import Owner, ProbeState

__all__ = ["Views"]

_MOST_IN_PROGRESS = 1_000


class Views:
    """One method for each view. ``drainer`` is the thread that owns the intake, ``owner_of`` any thread may call."""

    def __init__(
        self,
        intake: Intake,
        explainer: Explainer,
        drainer: Executor,
        clock: Callable[[], int],
        states: Callable[[], list[ProbeState]],
        owner_of: Callable[[int], Owner | None],
        analyzing: Analyzing | None = None,
        settings: Callable[[], Settings] = Settings,
        host: str = "",
    ) -> None:
        self._intake, self._explainer, self._drainer = intake, explainer, drainer
        self._clock, self._states, self._owner_of, self._analyzing = clock, states, owner_of, analyzing
        self._settings, self._host = settings, host

    def api(self) -> Api:
        """Return the views as the API takes them, each on the thread that owns what it shows."""
        drained, explained = (self._on(executor) for executor in (self._drainer, self._explainer.executor))
        return Api(
            summary=self._summary,
            processes=drained(self._processes),
            process_tree=drained(self._process_tree),
            timeline=drained(self._timeline),
            process_starts=drained(self._process_starts),
            events=explained(self._events),
            stacks=explained(self._stacks),
            incidents=self._analyzed({"host": self._host, "incidents": []}, self._incidents),
            analyses=self._analyzed({"analyses": []}, self._analyses),
            config=self._config,
        )

    def _analyzed(self, none: Any, work: Callable[[Analyzing, Query], Any]) -> View:
        """Without the analyzer the answer is ``none``."""
        own = self._analyzing
        if own is None:
            return self._on(self._drainer)(lambda _: none)
        return self._on(own.executor)(lambda query: work(own, query))

    @staticmethod
    def _on(executor: Executor) -> Callable[[Callable[[Query], Any]], View]:
        def on(work: Callable[[Query], Any]) -> View:
            async def view(query: Query) -> Any:
                return await asyncio.get_running_loop().run_in_executor(executor, work, query)

            return view

        return on

    async def _config(self, _: Query) -> Any:
        return {"config": values(self._settings())}

    async def _summary(self, _: Query) -> Any:
        loop = asyncio.get_running_loop()
        in_progress, kept = await loop.run_in_executor(self._explainer.executor, self._kept)
        return await loop.run_in_executor(self._drainer, self._summed, in_progress, kept)

    def _kept(self) -> tuple[int, dict[str, int]]:
        own = self._explainer
        evicted = {"events": own.store.evicted, "stacks": own.stacks.evicted}
        return len(own.store.in_progress(Wanted(), _MOST_IN_PROGRESS)), evicted

    def _summed(self, in_progress: int, evicted: dict[str, int]) -> Any:
        own = self._intake
        return shapes.summary(
            __version__,
            own.timeline.window(),
            own.timeline.seconds,
            slow_processes=own.slowest.top(self._clock()).processes,
            processes=own.processes.living,
            in_progress=in_progress,
            probes=self._states(),
            evicted={
                **evicted,
                "processes": own.processes.evicted,
                "slow_processes": own.slowest.evicted,
                "process_starts": own.newest_starts.evicted,
            },
        )

    def _processes(self, query: Query) -> Any:
        top, offset = self._intake.slowest.top(self._clock()), wall_offset()
        return {
            "by_maximum": [shapes.slow_process(own, offset) for own in top.by_maximum[: query.limit]],
            "by_total": [shapes.slow_process(own, offset) for own in top.by_total[: query.limit]],
            "processes": top.processes,
        }

    def _process_tree(self, query: Query) -> Any:
        counts = self._intake.slowest.counts(self._clock())
        nodes = islice(self._intake.processes.tree(lambda key: counts.get(key, 0), ended=query.ended), query.limit)
        found = [
            shapes.tree_process(own.process, own.depth, self._name(own.process.owner_id), (counts.get(own.process.key, 0), own.weight))
            for own in nodes
        ]
        return {"processes": found, "total": len(self._intake.processes)}

    def _name(self, owner_id: int) -> str:
        owner = self._owner_of(owner_id)
        return owner.name if owner else ""

    def _timeline(self, query: Query) -> Any:
        offset = wall_offset()
        return {"seconds": [shapes.second(bucket, offset) for bucket in self._intake.timeline.buckets(query.seconds)]}

    def _process_starts(self, query: Query) -> Any:
        offset = wall_offset()
        found = self._intake.newest_starts.newest(query.limit, query.since - offset)
        return {"starts": [shapes.process_start(own, self._name(own.owner_id), offset) for own in found]}

    def _events(self, query: Query) -> Any:
        wanted = Wanted(query.probe, query.operation, query.owner, query.pid, query.min_duration, query.since)
        store = self._explainer.store
        if query.in_progress:
            return shapes.events(store.in_progress(wanted, query.limit), store.cursor)
        if query.after is not None:
            return shapes.events(*store.after(Cursor(*query.after), wanted, query.limit))
        return shapes.events(store.recent(wanted, query.limit), store.cursor)

    @staticmethod
    def _incidents(own: Analyzing, query: Query) -> Any:
        found = [one for one in own.incidents() if query.state in ("", one.state) and query.id in ("", one.id)]
        return {"host": own.host, "incidents": [analysis.incident(one, ACTIONS) for one in found[: query.limit]]}

    @staticmethod
    def _analyses(own: Analyzing, query: Query) -> Any:
        found = [one for one in own.bundles() if one.end >= query.since]
        return {"analyses": [analysis.bundle(one, ACTIONS) for one in found[: query.limit]]}

    def _stacks(self, query: Query) -> Any:
        top = self._explainer.stacks.top(self._clock(), query.limit, probe=query.probe, operation=query.operation, owner=query.owner)
        return {"stacks": [shapes.stack(own) for own in top]}
