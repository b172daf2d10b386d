"""Hands the analyzer one window after the other, put together from what the threads of the agent own."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from perflens.agent.pressure import Looks
from perflens.agent.telling import Telling
from perflens.aggregate.evidence import EvidenceStore, Wanted
from perflens.aggregate.starts import Forks, Started, Starts
from perflens.aggregate.timeline import Timeline
from perflens.analysis import UNEXPLAINED, AnalysisCounts, Bundle, Incident, Subject, TellingCounts
from perflens.analyzer.analyst import Analyst
from perflens.analyzer.causes import discover
from perflens.analyzer.changes import Changes, Program
from perflens.analyzer.incidents import Explanation, Incidents
from perflens.analyzer.measures.host import cpu_culprits, host_signals
from perflens.analyzer.measures.starts import start_culprits, start_signals
from perflens.analyzer.readings.delta import HostDelta, delta
from perflens.analyzer.readings.reader import HostReader
from perflens.analyzer.readings.values import HostReading
from perflens.analyzer.signals import Signal
from perflens.analyzer.state import StateFile
from perflens.analyzer.totals import Totals
from perflens.analyzer.window import Window
from perflens.enrich.processes import Processes
from perflens.enrich.symbols.client import HelperError
from perflens.enrich.units import shown
from perflens.enrich.volumes import volumes
from perflens.export.otlp.incidents import NoIncidentLog
from perflens.logs import fields
from perflens.model import Device, Evidence, ProcessKey

__all__ = ["Analyzing", "Parts", "this_host"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_EVERY = 10.0  # s
_WINDOW, _OLDEST = 19 * _SECOND, 120 * _SECOND
_SETTINGS_EVERY = 3  # looks
_SAMPLES = 4  # one more than a window is long
_EVENTS, _IN_PROGRESS = 1_000, 200
_WARM_UP = 60 * _SECOND  # from the first look on; before it every program is a new one
_LOGGED_KEPT = 500


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the agent is read: ``snapshot`` on the worker's thread, the evidence on the explainer's, the rest on the drainer's.

    ``probes`` are those of operations of threads: what is slow for somebody. ``snapshot`` returns the totals and the owners'
    names by the paths of their cgroups, of those that were slow for longest first; ``name_of`` the name of an owner's id, ``workloads``
    the ``namespace/Kind/name`` of each name that is part of one. ``build_of`` returns the build-id of a program that a process runs,
    by its path, on the explainer's thread.
    """

    worker: ThreadPoolExecutor
    drainer: ThreadPoolExecutor
    explainer: ThreadPoolExecutor
    snapshot: Callable[[], tuple[Totals, Mapping[str, str]]]
    store: EvidenceStore
    timeline: Timeline
    starts: Starts
    processes: Processes
    devices: Callable[[], Sequence[Device]]
    name_of: Callable[[int], str]
    probes: frozenset[str]
    workloads: Callable[[], Mapping[str, str]] = dict
    build_of: Callable[[str, ProcessKey], str] = lambda _, __: ""


@dataclass(frozen=True, slots=True)
class _Sample:
    wall: int
    totals: Totals
    reading: HostReading
    owners: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Drained:
    slow: tuple[float, ...]
    forks: Forks
    started: Sequence[tuple[str, Started]]
    named: Mapping[ProcessKey, tuple[ProcessKey, ...]]
    names: Mapping[ProcessKey, str]


def this_host(node: str = "") -> str:
    """Return the name under which incidents of this host are told: a cluster's name of the node, as a pod's host name is the pod's."""
    return shown(node or socket.gethostname())


class Analyzing:
    """Looks every ten seconds at the last twenty, and between when there is pressure. Its thread owns the analyst, changes and samples.

    ``tell`` makes, once the event loop runs, what tells the incidents of a host; ``procfs`` is where pressure is told, empty for nowhere.
    """

    def __init__(
        self, parts: Parts, reader: HostReader, state: StateFile, tell: Callable[[str], Telling], procfs: str = "", host: str = ""
    ) -> None:
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="analyst")
        self.host = host or this_host()
        self._parts, self._reader, self._state, self._make_telling = parts, reader, state, tell
        self._telling: Telling | None = None
        self._procfs = procfs
        self._analyst = Analyst(self.host, Incidents(self.host, state.read()))
        self._changes = Changes(shown)
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._began = 0
        self._looks = self._impacts = self._failed = self._untold = self._early = 0
        self._seconds = 0.0
        self._opened = Counter(dict.fromkeys((*discover(), UNEXPLAINED), 0))  # from 0 on, as a rate sees no counter that begins with 1
        self._logged = {own.id: (own.state, own.cause) for own in self._analyst.incidents.all}

    async def run(self, wait: Callable[[float], Awaitable[bool]]) -> None:
        """Look until ``wait`` says that it is over; a look that fails is counted, and the next one goes on."""
        self._telling = telling = self._start_telling()
        telling.know(self._analyst.incidents.all)
        looks = Looks(self._procfs, _EVERY)
        try:
            while (why := await looks.next(wait)) != "ended":
                try:
                    telling.tell(await self._look(early=why == "early"), self._explained)
                except Exception:
                    self._failed += 1
                    _log.exception("the analyzer could not look at a window")
        finally:
            looks.close()

    def _start_telling(self) -> Telling:
        """What tells incidents; without it they are in the API, in the metric and in the log."""
        try:
            return self._make_telling(self.host)
        except Exception:
            self._untold += 1
            _log.exception("incidents are not told to others")
            return Telling(None, None, NoIncidentLog())

    def counts(self) -> AnalysisCounts:
        """Return what it has done; any thread may ask."""
        active = tuple((own.cause, str(own.subject), own.severity) for own in self._analyst.incidents.open)
        done = self._looks, self._impacts, self._failed, self._seconds
        telling = self._telling.counts() if self._telling else TellingCounts()
        return AnalysisCounts(*done, self._state.failed, self._untold, self._early, active, dict(self._opened), telling)

    def incidents(self) -> list[Incident]:
        """Return the incidents that are kept, the newest first; on its thread."""
        return self._analyst.incidents.all

    def bundles(self) -> list[Bundle]:
        """Return the evidence of the last windows in which something was slow, the newest first; on its thread."""
        return list(reversed(self._analyst.bundles))

    async def _explained(self, identity: str, told: Explanation) -> Incident | None:
        run = asyncio.get_running_loop().run_in_executor
        return await run(self.executor, self._analyst.incidents.explained, identity, told)

    async def _look(self, *, early: bool) -> list[Incident]:
        parts, run = self._parts, asyncio.get_running_loop().run_in_executor
        totals, paths = await run(parts.worker, parts.snapshot)
        events = await run(parts.explainer, self._events)
        drained = await run(parts.drainer, self._drained)
        programs = await run(parts.explainer, self._programs, drained.started) if drained.started else ()
        return await run(self.executor, self._judge, totals, paths, events, drained, programs, early)

    def _events(self) -> list[Evidence]:
        store, probes = self._parts.store, sorted(self._parts.probes)
        ended = [own for probe in probes for own in store.recent(Wanted(probe=probe), _EVENTS)]
        return [*ended, *(own for probe in probes for own in store.in_progress(Wanted(probe=probe), _IN_PROGRESS))]

    def _drained(self) -> _Drained:
        parts = self._parts
        buckets = parts.timeline.buckets()
        slow = tuple(sum(own.ns for (probe, _), own in each.operations.items() if probe in parts.probes) / _SECOND for each in buckets)
        now = time.monotonic_ns()
        forks = parts.starts.lately(now)
        most = [key for key, _ in forks.parents.most_common(64)]
        lines = {key: tuple(own.key for own in parts.processes.parents(key)) for key in most}
        known = {key: parts.processes.get(key) for key in {*most, *(own for line in lines.values() for own in line)}}
        names = {key: f"{shown(own.comm)}[{key.pid}]" for key, own in known.items() if own}
        started = [(parts.name_of(own.owner_id), own) for own in parts.starts.programs(now)]
        return _Drained(slow, forks, started, lines, names)

    def _programs(self, started: Sequence[tuple[str, Started]]) -> list[Program]:
        """The first file that hangs or cannot be asked for ends the reading of builds for this look: the others are told by their paths."""
        found, reads = [], True
        for unit, own in started:
            build = ""
            if reads:
                try:
                    build = self._parts.build_of(own.path, own.process)
                except HelperError:
                    reads = False
            found.append(Program(unit, own.path, build))
        return found

    def _judge(
        self,
        totals: Totals,
        paths: Mapping[str, str],
        events: Sequence[Evidence],
        drained: _Drained,
        programs: Sequence[Program],
        early: bool,
    ) -> list[Incident]:
        """Return the incidents that are to be told: those that changed, and those that are open still."""
        began, now = time.perf_counter(), time.time_ns()
        sample = _Sample(now, totals, self._reader.read(_each(paths)), paths)
        before = self._before(sample)
        self._began = self._began or totals.time
        self._note_changes(paths, programs, now, is_warm=totals.time - self._began > _WARM_UP)
        if not early:
            self._samples.append(sample)  # those in turn are enough for the begin of a window
        changed: tuple[Incident, ...] = ()
        if before:
            self._looks += 1
            self._early += early
            look = self._analyst.look(self._window(before, sample, events, drained), early=early)
            self._impacts += look.impact
            changed = look.changed
            for incident in changed:
                self._log_change(incident)
            if changed:
                self._state.write(self._analyst.incidents.all)
        self._seconds += time.perf_counter() - began
        return list({own.id: own for own in (*self._analyst.incidents.open, *changed)}.values())

    def _before(self, now: _Sample) -> _Sample | None:
        """The sample at the begin of the window: the latest that is old enough. One from before looks were held up for long is too old."""
        ages = [(now.totals.time - own.totals.time, own) for own in self._samples]
        return next((own for age, own in reversed(ages) if _WINDOW <= age <= _OLDEST), None)

    def _note_changes(self, paths: Mapping[str, str], programs: Sequence[Program], now: int, *, is_warm: bool) -> None:
        if self._looks % _SETTINGS_EVERY == 0:
            self._changes.compare(self._reader.settings(_each(paths)), now, paths)
        self._changes.programs(programs, now, usual=not is_warm)

    def _window(self, before: _Sample, now: _Sample, events: Sequence[Evidence], drained: _Drained) -> Window:
        moved, counted = delta(before.reading, now.reading), now.totals.since(before.totals)
        devices = self._parts.devices()
        numbers = {f"{own.number[0]}:{own.number[1]}": own.name for own in devices}
        begin, start = before.totals.time, now.wall - counted.time  # the clock on the wall may have been set meanwhile
        seconds = max(1, round(counted.time / _SECOND))
        recent = [own for own in events if own.event.in_progress or own.event.start + own.event.duration >= begin]
        return Window(
            start,
            now.wall,
            counted,
            recent,
            tuple(self._host(moved, now, counted, numbers, drained)),
            tuple(self._changes.signals(start)),
            {
                **(cpu_culprits(moved, now.reading, now.owners) if moved else {}),
                **start_culprits(drained.forks.parents, drained.named, drained.names),
            },
            drained.slow[-seconds:],
            drained.slow[:-seconds],
            now.reading.gaps,
            _identities(volumes(devices), self._parts.workloads()),
        )

    @staticmethod
    def _host(moved: HostDelta | None, now: _Sample, counted: Totals, numbers: Mapping[str, str], drained: _Drained) -> Iterable[Signal]:
        if moved:
            yield from host_signals(moved, now.reading, counted, numbers, now.owners)
        cpus = now.reading.cpu.cpus if now.reading.cpu else 1
        forks = drained.forks
        yield from start_signals(forks.number, forks.ns / _SECOND, cpus, forks.parents, drained.named, drained.names)

    def _log_change(self, incident: Incident) -> None:
        """Log what is new: an incident that opens, changes its cause, or ends."""
        now = (incident.state, incident.cause)
        if self._logged.get(incident.id) != now:
            self._opened[incident.cause] += incident.state == "open" and incident.id not in self._logged
            level = logging.WARNING if incident.state == "open" else logging.INFO
            about = fields(id=incident.id, cause=incident.cause, subject=str(incident.subject), severity=incident.severity)
            _log.log(level, f"incident {incident.state}", extra=about)
            self._logged[incident.id] = now
            if len(self._logged) > _LOGGED_KEPT:
                del self._logged[next(iter(self._logged))]

    async def close(self) -> None:
        """Keep the incidents, and end the thread."""
        if self._telling:
            await self._telling.close()
        await asyncio.get_running_loop().run_in_executor(self.executor, lambda: self._state.write(self._analyst.incidents.all))
        self.executor.shutdown()


def _each(paths: Iterable[str]) -> dict[str, str]:
    """Cgroups to be read, which are called as their paths."""
    return {path: path for path in paths}


def _identities(of_devices: Mapping[str, str], of_owners: Mapping[str, str]) -> dict[Subject, Subject]:
    """Return the subjects of which more is known than their name, as they are known."""
    known = [Subject("device", name, volume=volume) for name, volume in of_devices.items()]
    known += [Subject("owner", unit, workload=workload) for unit, workload in of_owners.items()]
    return {own: own for own in known}
