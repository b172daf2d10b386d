"""The agent: wires kernel, decode, enrich, aggregate, export and HTTP, and keeps them running. The only file that knows them all."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from perflens import logs
from perflens.aggregate.family import Family
from perflens.config import Settings, reloadable_differences
from perflens.decode.cells import cell_info_decoder
from perflens.enrich.cgroups import CgroupTree, find_tree
from perflens.enrich.owners import Owners
from perflens.errors import ConfigError, LayoutError, ProbeError, StartError
from perflens.export.prometheus import families
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.page import Collector, Page, Query
from perflens.http import server, sockets
from perflens.http.flight import SingleFlight
from perflens.kernel.attached import AttachedProbe, Sizes, attach, object_path, object_types
from perflens.kernel.features import Host, mounts
from perflens.kernel.heap import give_back_large_blocks
from perflens.layout import enum_labels
from perflens.logs import fields
from perflens.model import OTHER, AgentStatus, CellKey, LedgerReading, ProbeState, SeriesKey
from perflens.probe import Probe
from perflens.selfmetrics import SelfMetrics

__all__ = ["Agent", "operations_of", "serve", "tree_of", "try_rungs"]

_log = logging.getLogger("perflens")

_MAINTENANCE = 2.0
_HARVEST_AT_LEAST = 10.0
_SECOND = 1_000_000_000


def operations_of(name: str, probe: Probe, machine: str) -> Mapping[int, str]:
    """Return a probe's operations by number, from the BTF of its object; LayoutError when the object is missing or wrong."""
    types = object_types(object_path(name, machine))
    return enum_labels(probe.operations, types.enum(probe.operations))


class _Running:
    """A probe that is attached, with its accumulators."""

    def __init__(self, name: str, probe: Probe, kernel: AttachedProbe, machine: str, owners: Owners, settings: Settings) -> None:
        self.name, self.probe, self.kernel, self._owners = name, probe, kernel, owners
        self.operations = operations_of(name, probe, machine)
        self._has_owner = settings.owner.level != "node"
        self._decode = cell_info_decoder(object_types(object_path(name, machine)).struct("cell_info"))
        self.family = Family(kernel, self._name_cell, limit=settings.series.limit, has_owner=self._has_owner)
        self.harvest()

    def harvest(self) -> None:
        """Bring the accumulators up to date, and read the ledger in the same moment: rendering would open it by what happens meanwhile."""
        self.family.harvest()
        entered, outcomes, in_flight, missed, details = self.kernel.ledger()
        aggregated, other = self.family.counts()
        self.ledger = LedgerReading(entered, {"aggregated": aggregated, "other": other, **outcomes}, in_flight, missed, details)

    def _name_cell(self, cell: int, key: CellKey) -> SeriesKey:
        operation = self.operations[key.operation]
        if not key.owner:
            return SeriesKey(operation, OTHER, OTHER if self._has_owner else "")
        info = self._decode(self.kernel.info(cell))
        owner = self._owners.resolve(key.owner, info.path, complete=info.complete)
        return SeriesKey(operation, info.object_name or "unknown", owner.unit if self._has_owner else "")


def _thresholds(settings: Settings, name: str, operations: Mapping[int, str]) -> list[int]:
    own = settings.probes[name].thresholds
    return [own.get(operations[number], settings.threshold) for number in sorted(operations)]


class Agent:
    """Everything but the event loop. All but ``states`` belongs to one thread: see ``worker``."""

    def __init__(self, settings: Settings, host: Host, probes: Mapping[str, Probe], tree: CgroupTree) -> None:
        self.settings, self._host, self._probes = settings, host, probes
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker")
        self.states: list[ProbeState] = []
        self._running: list[_Running] = []
        self._owners = Owners(tree)
        self._sizes = Sizes.of(host, settings.cells)
        self._reloaded = (True, time.time())
        self._harvested_at = 0.0
        self.page = Page((), self.harvest)

    def start(self) -> None:
        """Attach every probe that is enabled; one that cannot be attached is a state, not an error, unless probes.strict."""
        for name, probe in self._probes.items():
            if self.settings.probes[name].enabled and probe.enabled:
                self.states.append(self._attach(name, probe))
        self.page = Page(self._collectors(), self.harvest)
        failed = [state.name for state in self.states if not state.attached]
        if failed and self.settings.probes.strict:
            raise StartError(f"not attached: {', '.join(failed)}; leave --probes.strict out to run without them")

    def _attach(self, name: str, probe: Probe) -> ProbeState:
        try:
            operations = operations_of(name, probe, self._host.machine)
            kernel = attach(
                name,
                probe,
                self._host,
                rung=self.settings.probes[name].attach,
                sizes=self._sizes,
                thresholds=_thresholds(self.settings, name, operations),
                procfs=self.settings.path.procfs,
            )
        except (ProbeError, LayoutError) as error:
            _log.error("probe not attached", extra=fields(probe=name, reason=error.reason, cure=error.cure))
            return ProbeState(name, attached=False, reason=error.reason, cure=error.cure)
        self._running.append(_Running(name, probe, kernel, self._host.machine, self._owners, self.settings))
        _log.info("probe attached", extra=fields(probe=name, mechanism=kernel.mechanism))
        return ProbeState(name, attached=True, mechanism=kernel.mechanism)

    def harvest(self) -> None:
        """Bring every accumulator up to date."""
        self._harvested_at = time.monotonic()
        for running in self._running:
            running.harvest()

    def maintain(self) -> None:
        """Give the cells of dead owners back, expire their series, and harvest if no scrape did."""
        now = time.monotonic()
        gone = self._owners.gone()
        for running in self._running:
            running.family.kill(gone, now)
        if now - self._harvested_at >= _HARVEST_AT_LEAST or any(running.family.is_recycling for running in self._running):
            self.harvest()
        for running in self._running:
            running.family.recycle(now)
            running.family.expire(now - self.settings.series.expiry / _SECOND)
        for owner in self._owners.all_gone():
            if not any(running.family.has_cells(owner) for running in self._running):
                self._owners.forget(owner)

    def status(self) -> AgentStatus:
        """Return what the agent knows of itself."""
        tables = {f"perflens_{running.probe.histogram.name}": [running.family.histograms] for running in self._running}
        tables["perflens_slow_operations_total"] = [running.family.slow for running in self._running]
        return AgentStatus(
            probes=tuple(self.states),
            ledgers={running.name: running.ledger for running in self._running},
            cells={running.name: (running.family.cells_used, running.kernel.usable) for running in self._running},
            series={metric: sum(map(len, own)) for metric, own in tables.items()},
            series_dropped={metric: sum(table.dropped for table in own) for metric, own in tables.items()},
            series_expired={metric: sum(table.expired for table in own) for metric, own in tables.items()},
            owners=len(self._owners),
            owners_unnamed=self._owners.unnamed,
            owners_cut=self._owners.cut,
            reload_succeeded=self._reloaded[0],
            reload_succeeded_at=self._reloaded[1],
        )

    def reload(self, read: Callable[[], Settings]) -> str:
        """Read the configuration again and apply it; return the error, empty for none. A bad one changes nothing."""
        try:
            error = self._apply(read())
        except ConfigError as problem:
            error = str(problem)
        self._reloaded = (not error, self._reloaded[1] if error else time.time())
        if error:
            _log.error("configuration not reloaded", extra=fields(reason=error))
        return error

    def _apply(self, new: Settings) -> str:
        changed, fixed = reloadable_differences(self.settings, new)
        if fixed:
            return f"{', '.join(fixed)} cannot change while the agent runs; restart it"
        self.settings = new
        logs.configure(new.log.level, new.log.format, sys.stderr)
        for running in self._running:
            running.kernel.set_thresholds(_thresholds(new, running.name, running.operations))
        _log.info("configuration reloaded", extra=fields(changed=", ".join(changed) or "nothing"))
        return ""

    def stop(self) -> None:
        """Detach every probe and let the kernel side go."""
        for running in self._running:
            running.kernel.close()
        self._running.clear()

    def _collectors(self) -> list[Collector]:
        owner = "" if self.settings.owner.level == "node" else self.settings.owner.level
        found = [
            Collector(running.name, families.histogram_family(running.probe.histogram, running.family.histograms, owner))
            for running in self._running
        ]
        slow = families.slow_families({running.name: running.family.slow for running in self._running}, owner)
        return [*found, Collector("slow_operations", slow), Collector("self", SelfMetrics(self.status).render)]


async def serve(agent: Agent, read: Callable[[], Settings]) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reloads. StartError when an address is taken or a probe is missing."""
    give_back_large_blocks()
    loop = asyncio.get_running_loop()
    bound = [sockets.listen(address) for address in agent.settings.web.listen_address]
    ready, ended = asyncio.Event(), asyncio.Event()
    flight = SingleFlight[Query, bytes | bytearray](lambda query: agent.page.render(query), agent.worker)

    async def metrics(scrape: server.Scrape) -> server.Answer:
        chosen = content_type(scrape.accept)
        query = Query(scrape.names, scrape.collectors, accepts_gzip(scrape.accept_encoding), FORMATS[chosen])
        agent.page.check(query)
        return server.Answer(await flight.get(query), chosen, "gzip" if query.gzip else "")

    async def reload() -> str:
        return await loop.run_in_executor(agent.worker, agent.reload, read)

    web = agent.settings.web
    endpoints = server.Endpoints(web.telemetry_path, metrics, ready.is_set, reload, web.enable_lifecycle)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    reloads: set[asyncio.Task[str]] = set()

    def reload_in_background() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload_in_background)
    runner = await server.start(server.application(endpoints), bound)
    try:
        await loop.run_in_executor(agent.worker, agent.start)
        ready.set()
        for own in bound:
            _log.info(f"listening on http://{sockets.url_host(own)}{web.telemetry_path}")
        await _until(ended, agent)
    finally:
        await _shut_down(agent, runner)


async def _until(ended: asyncio.Event, agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), _MAINTENANCE)
        except TimeoutError:
            await loop.run_in_executor(agent.worker, _guarded, agent.maintain)


def _guarded(work: Callable[[], None]) -> None:
    """A bug in the upkeep must not end the agent: its numbers go on, and the log says it."""
    try:
        work()
    except Exception:
        _log.exception("upkeep failed")


async def _shut_down(agent: Agent, runner: server.Runner) -> None:
    began = time.monotonic()
    await runner.cleanup()
    await asyncio.get_running_loop().run_in_executor(agent.worker, agent.stop)
    agent.worker.shutdown()
    _log.info("stopped", extra=fields(seconds=f"{time.monotonic() - began:.3f}"))


def tree_of(host: Host, settings: Settings) -> CgroupTree:
    """Return the cgroup tree that owners come from, and log it when only a part of it can be seen."""
    mountinfo = Path("/proc/self/mountinfo").read_text(errors="replace")
    tree = find_tree(mounts(mountinfo), on_v1=host.owner_by_memory, override=settings.path.cgroupfs)
    if not tree.usable:
        _log.warning(
            "the cgroup tree cannot be seen from its root: owners that are gone keep their cells",
            extra=fields(path=tree.point, cure="mount the host's cgroup tree and set --path.cgroupfs"),
        )
    return tree


def try_rungs(name: str, probe: Probe, host: Host, settings: Settings) -> list[ProbeState]:
    """Attach a probe by each of its rungs in turn, and let go at once; return how each went."""
    found = []
    for rung in probe.rungs:
        try:
            thresholds = _thresholds(settings, name, operations_of(name, probe, host.machine))
            attach(name, probe, host, rung=rung.name, sizes=Sizes.of(host, settings.cells), thresholds=thresholds).close()
            found.append(ProbeState(name, attached=True, mechanism=rung.name))
        except (ProbeError, LayoutError) as error:
            found.append(ProbeState(name, attached=False, mechanism=rung.name, reason=error.reason, cure=error.cure))
    return found
