"""The agent without its event loop: probes, accumulators, evidence and the metrics page."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from perflens import logs
from perflens.agent import filters, overhead, running
from perflens.agent.explainer import Explainer
from perflens.agent.intake import Intake
from perflens.agent.running import Running
from perflens.agent.views import Views
from perflens.aggregate.evidence import EvidenceStore, OperationKey
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.stacks import Stacks
from perflens.aggregate.timeline import Timeline
from perflens.config import Settings, reloadable_differences
from perflens.enrich.cgroups import CgroupTree, find_tree
from perflens.enrich.owners import Owners
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.enrich.symbols.kallsyms import KernelSymbols
from perflens.enrich.symbols.user import UserSymbols
from perflens.enrich.wait_reasons import reason_of
from perflens.errors import ConfigError, LayoutError, ProbeError, StartError
from perflens.export.otlp import spans
from perflens.export.prometheus import families
from perflens.export.prometheus.families import Column, Sample
from perflens.export.prometheus.form import Render
from perflens.export.prometheus.page import Collector, Page
from perflens.http.access import Access
from perflens.kernel.attached import Tuning
from perflens.kernel.features import Host, mounts
from perflens.logs import fields
from perflens.model import (
    SLOW_WIDTH,
    AgentStatus,
    Evidence,
    EvidenceCounts,
    Exemplar,
    Owner,
    ProbeState,
    SlowEvent,
)
from perflens.probe import Probe
from perflens.selfmetrics import SelfMetrics

__all__ = ["SYMBOLS_CURE", "Agent", "tree_of"]

SYMBOLS_CURE = "grant CAP_SYSLOG, and set kernel.kptr_restrict to 0 or 1 (docs/troubleshooting.md#kernel-symbols)"

_log = logging.getLogger("perflens")

_HARVEST_AT_LEAST = 10.0
_SECOND = 1_000_000_000
_EXEMPLARS_KEPT = 600.0


class Agent:
    """Everything but the event loop.

    The thread of ``worker`` owns the accumulators, that of ``drainer`` the intake, that of the explainer the evidence; ``states``
    may be read by any.
    """

    def __init__(self, settings: Settings, host: Host, probes: Mapping[str, Probe], tree: CgroupTree) -> None:
        self.settings, self._host, self._probes, self._tree = settings, host, probes, tree
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker")
        self.drainer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drainer")
        self.access = Access(settings.web.api_token_file)
        self.states: list[ProbeState] = []
        self.running: list[Running] = []
        self._owners = Owners(tree)
        self._reloaded = (True, time.time())
        self._harvested_at = 0.0
        self._read_cost = self._pending_cgroups = 0.0
        self.page = Page((), self.harvest)
        self._kernel_symbols = KernelSymbols(settings.path.procfs)
        procfs = Procfs(settings.path.procfs if host.sees_all_processes else "")
        self.explainer = Explainer(
            self._kernel_symbols,
            UserSymbols(settings.path.procfs),
            spans.start(settings.otlp.endpoint, settings.otlp.protocol, self._exported),
            EvidenceStore(time.monotonic_ns),
            Stacks(),
            self._name_owner,
            procfs.runs,
            rate=settings.events.explained,
        )
        processes = Processes(procfs, time.monotonic_ns)
        self.intake = Intake(Timeline(time.monotonic_ns), Slowest(), processes, self.explainer)
        self.explainer.note = self.intake.note
        self.views = Views(self.intake, self.explainer, self.drainer, time.monotonic_ns, lambda: self.states, self._owners.known)

    def start(self) -> None:
        """Attach every probe that is enabled; one that cannot be attached is a state, not an error, unless probes.strict."""
        tuning = filters.tuning(self.settings, self._tree)
        before = self._cost_of_a_read()
        for name, probe in self._probes.items():
            if self.settings.probes[name].enabled and probe.enabled:
                self.states.append(self._attach(name, probe, tuning))
        ranges = self._kernel_symbols.ranges(reason_of)  # only now: the programs have names of their own
        for own in self.running:
            own.kernel.set_wait_frames(ranges)
        if self.running and not self._kernel_symbols.readable:
            _log.warning("kernel symbols cannot be read: waits have no reason, and kernel stacks no names", extra=fields(cure=SYMBOLS_CURE))
        self._kernel_symbols.rest(0.0)  # until the first stack is to be named
        self._read_cost = max(self._cost_of_a_read() - before, 0.0)
        self.page = Page(self._collectors(), self.harvest)
        failed = [state.name for state in self.states if not state.attached]
        if failed and self.settings.probes.strict:
            raise StartError(f"not attached: {', '.join(failed)}; leave --probes.strict out to run without them")

    def _attach(self, name: str, probe: Probe, tuning: Tuning) -> ProbeState:
        try:
            kernel = running.start(name, probe, self._host, self.settings, tuning)
        except (ProbeError, LayoutError) as error:
            _log.error("probe not attached", extra=fields(probe=name, reason=error.reason, cure=error.cure))
            return ProbeState(name, attached=False, reason=error.reason, cure=error.cure)
        own = Running(name, probe, kernel, self._host.machine, self._owners, self.settings)
        self.running.append(own)
        self.intake.add(own)
        _log.info("probe attached", extra=fields(probe=name, mechanism=kernel.mechanism, waits="yes" if kernel.has_waits else "no"))
        return ProbeState(name, attached=True, mechanism=kernel.mechanism, waits=kernel.has_waits)

    def _cost_of_a_read(self) -> float:
        return overhead.nanoseconds_a_read(Path(__file__))

    def harvest(self) -> None:
        """Bring every accumulator up to date."""
        self._harvested_at = time.monotonic()
        for own in self.running:
            own.harvest()

    def maintain(self) -> None:
        """Give the cells of dead owners back, expire their series, look for what hangs, and harvest if no scrape did."""
        now = time.monotonic()
        gone = self._owners.gone()
        for own in self.running:
            own.family.kill(gone, now)
        if now - self._harvested_at >= _HARVEST_AT_LEAST or any(own.family.is_recycling for own in self.running):
            self.harvest()
        for own in self.running:
            own.family.recycle(now)
            own.family.expire(now - self.settings.series.expiry / _SECOND)
            own.exemplars.prune(own.family.histograms, time.time() - _EXEMPLARS_KEPT)
            self._look_in_progress(own)
        for owner in self._owners.all_gone():
            if not any(own.family.has_cells(owner) for own in self.running):
                self._owners.forget(owner)
        if self.settings.filter.cgroup:
            ids = filters.cgroup_ids(self.settings, self._tree)
            for own in self.running:
                own.kernel.tune({"filter_cgroup": ids})

    def _look_in_progress(self, own: Running) -> None:
        """Show what has been in flight for long; the walk over all threads is spared while the slots show nothing old."""
        events: list[SlowEvent] = []
        if own.kernel.slots.read(self.settings.events.in_progress_after).old:
            try:
                events = list(own.in_progress())
            except (ProbeError, ValueError) as error:
                _log.warning("operations in progress cannot be shown", extra=fields(probe=own.name, reason=str(error)))
        self.explainer.put_in_progress(own, events, {OperationKey(event.probe, event.tid, event.start) for event in events})

    def _name_owner(self, owner_id: int) -> Owner:
        """Return an owner; one that is new is bound by a harvest first, which knows its path though it may be gone."""
        return self._owners.known(owner_id) or self.worker.submit(self._resolve, owner_id).result(timeout=10)

    def _resolve(self, owner_id: int) -> Owner:
        if self._owners.known(owner_id) is None:
            self.harvest()
        return self._owners.resolve(owner_id, (), complete=False)

    def _exported(self, pairs: Sequence[tuple[Evidence, Exemplar]]) -> None:
        """Show spans that a collector took as exemplars; the exporter's thread calls it."""
        by_name = {own.name: own for own in self.running}
        for evidence, exemplar in pairs:
            own = by_name.get(evidence.event.probe)
            if own:
                own.exemplars.put(own.series_of(evidence.event, evidence.owner.unit), exemplar)

    def status(self) -> AgentStatus:
        """Return what the agent knows of itself."""
        tables = {f"perflens_{own.probe.histogram.name}": [own.family.histograms] for own in self.running}
        tables["perflens_slow_operations_total"] = [own.family.slow for own in self.running]
        return AgentStatus(
            probes=tuple(self.states),
            ledgers={own.name: own.ledger for own in self.running},
            events={own.name: own.events for own in self.running},
            unattributed={own.name: self._unattributed(own) for own in self.running},
            evidence=self._evidence_counts(),
            cells={own.name: (own.family.cells_used, own.kernel.usable) for own in self.running},
            series={metric: sum(map(len, own)) for metric, own in tables.items()},
            series_dropped={metric: sum(table.dropped for table in own) for metric, own in tables.items()},
            series_expired={metric: sum(table.expired for table in own) for metric, own in tables.items()},
            owners=len(self._owners),
            owners_unnamed=self._owners.unnamed,
            owners_cut=self._owners.cut,
            reload_succeeded=self._reloaded[0],
            reload_succeeded_at=self._reloaded[1],
        )

    @staticmethod
    def _unattributed(own: Running) -> int:
        return own.family.slow.total(SLOW_WIDTH + own.kernel.wait_reasons.index("unattributed"))

    def _evidence_counts(self) -> EvidenceCounts:
        intake, explainer, user = self.intake, self.explainer, self.explainer.user
        names = [own.name for own in self.running]

        def by_probe(counts: Counter[str]) -> dict[str, int]:
            return {name: counts[name] for name in names}

        return EvidenceCounts(
            read=by_probe(intake.read),
            explained=by_probe(explainer.explained),
            unexplained={name: intake.unexplained[name] + explainer.failed[name] for name in names},
            undecodable=by_probe(intake.undecodable),
            spans=explainer.spans.counts(),
            frames={"resolved": user.resolved, "unresolved": user.unresolved},
            symbols={
                "helper_restarts": user.helper_restarts,
                "timeouts": user.timeouts,
                "perf_maps_refused": user.perf_maps_refused,
                "learn_skipped": user.learn_skipped,
            },
            evicted={
                "evidence": explainer.store.evicted,
                "stacks": explainer.stacks.evicted,
                "slow_processes": intake.slowest.evicted,
                "processes": intake.processes.evicted,
                "timeline": intake.timeline.late,
                "exemplars": sum(own.exemplars.dropped for own in self.running),
            },
            processes=intake.processes.living,
        )

    def reload(self, read: Callable[[], Settings]) -> str:
        """Read the configuration again and apply it; return the error, empty for none. A bad one changes nothing."""
        try:
            new = read()
            error = self._unchangeable(new)
            if not error:
                self.access.reload()
                self._apply(new)
        except ConfigError as problem:
            error = str(problem)
        self._reloaded = (not error, self._reloaded[1] if error else time.time())
        if error:
            _log.error("configuration not reloaded", extra=fields(reason=error))
        return error

    def _unchangeable(self, new: Settings) -> str:
        _, fixed = reloadable_differences(self.settings, new)
        return f"{', '.join(fixed)} cannot change while the agent runs; restart it" if fixed else ""

    def _apply(self, new: Settings) -> None:
        changed, _ = reloadable_differences(self.settings, new)
        self.settings = new
        logs.configure(new.log.level, new.log.format, sys.stderr)
        self.explainer.rate = new.events.explained
        for own in self.running:
            own.set_thresholds(new)
        _log.info("configuration reloaded", extra=fields(changed=", ".join(changed) or "nothing"))

    def stop(self) -> None:
        """Detach every probe and let the kernel side go."""
        for own in self.running:
            own.kernel.close()
        self.running.clear()

    def _collectors(self) -> list[Collector]:
        owner = "" if self.settings.owner.level == "node" else self.settings.owner.level
        found = [
            Collector(own.name, families.histogram_family(own.probe.histogram, own.family.histograms, owner, own.exemplars.of))
            for own in self.running
        ]
        slow = families.slow_families({own.name: own.family.slow for own in self.running}, owner)
        return [
            *found,
            Collector("slow_operations", slow),
            Collector("waits", self._waits(owner)),
            Collector("in_flight", self._in_flight(owner)),
            Collector("overhead", self._overhead(owner)),
            Collector("self", SelfMetrics(self.status).render),
        ]

    def _waits(self, owner: str) -> Render:
        def column(own: Running, position: int, reason: str) -> Column:
            return Column(
                own.family.slow,
                SLOW_WIDTH + position,
                lambda key: (("probe", own.name), ("operation", key.operation), ("reason", reason), (owner, key.owner)),
            )

        columns = [column(own, at, reason) for own in self.running for at, reason in enumerate(own.kernel.wait_reasons)]
        text = "Time that operations spent off the CPU, slow or not, by what they waited for."
        return families.column_family("perflens_operation_wait_seconds_total", text, columns, nanoseconds=True, zeros=False)

    def _in_flight(self, owner: str) -> Render:
        def samples() -> Iterator[Sample]:
            for own in self.running:
                for key, age in own.longest().items():
                    yield Sample((("probe", own.name), ("operation", key.operation), (owner, key.owner)), age)

        text = "Age of the oldest operation in flight, of those past their threshold."
        return families.gauge_family("perflens_oldest_in_flight_seconds", text, samples, nanoseconds=True)

    def _overhead(self, owner: str) -> Render:
        def samples() -> Iterator[Sample]:
            counts: Counter[str] = Counter()
            for own in self.running:
                for key, count in own.family.histograms.items():
                    counts[key.owner] += count
            for name, count in sorted(counts.items()):
                if count:
                    yield Sample(((owner, name),), int(count * self._read_cost))

        text = "Estimated time that measuring took: the cost of a read, measured at the start, for each operation."
        return families.counter_family("perflens_overhead_seconds_total", text, samples, nanoseconds=True)


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
