"""The agent without its event loop: probes, accumulators, evidence and the metrics page."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from perflens import logs
from perflens.agent import filters, overhead, running
from perflens.agent.analyzing import Analyzing, Parts, this_host
from perflens.agent.cluster import cluster_of, level_of
from perflens.agent.collectors import collectors
from perflens.agent.explainer import Explainer
from perflens.agent.files import ensure_files
from perflens.agent.guarding import guarding_of
from perflens.agent.intake import Intake
from perflens.agent.privileges import Privileges, UnchangedPrivileges
from perflens.agent.running import Running, RunningDurations, RunningOperations, RunningProcesses, RunningRequests
from perflens.agent.selecting import NoSelection, selection_of
from perflens.agent.status import evidence_counts, status
from perflens.agent.telling import telling, tokens_of
from perflens.agent.ticker import guarded
from perflens.agent.totals import totals
from perflens.agent.views import Views
from perflens.aggregate.evidence import EvidenceStore
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.stacks import Stacks
from perflens.aggregate.timeline import Timeline
from perflens.analyzer.readings.hierarchies import find_hierarchies
from perflens.analyzer.readings.reader import HostReader
from perflens.analyzer.state import StateFile
from perflens.analyzer.totals import Totals
from perflens.config import Settings, reloadable_differences
from perflens.decode.sums import device_of
from perflens.enrich.cgroups import CgroupTree, find_tree
from perflens.enrich.devices import Devices
from perflens.enrich.mounts import read_mountinfo
from perflens.enrich.owners import Owners
from perflens.enrich.processes import Processes
from perflens.enrich.procfs import Procfs
from perflens.enrich.symbols.kallsyms import KernelSymbols
from perflens.enrich.symbols.user import UserSymbols
from perflens.enrich.wait_reasons import FUNCTIONS
from perflens.errors import ConfigError, LayoutError, ProbeError, StartError
from perflens.export.otlp import spans
from perflens.export.prometheus.page import Page
from perflens.http.access import Access
from perflens.http.front import CLOSED
from perflens.kernel.attach import Tuning
from perflens.kernel.attached import AttachedProbe
from perflens.kernel.features import Host, mounts
from perflens.kernel.loaders import choose
from perflens.logs import fields
from perflens.model import (
    AgentStatus,
    CgroupEvent,
    Device,
    Evidence,
    Exemplar,
    Owner,
    PodVolume,
    ProbeState,
    SlowEvent,
)
from perflens.owner_levels import labels_of
from perflens.probe import Probe

__all__ = ["SYMBOLS_CURE", "Agent", "tree_of"]

SYMBOLS_CURE = "grant CAP_SYSLOG, and set kernel.kptr_restrict to 0 or 1 (docs/troubleshooting.md#kernel-symbols)"

_log = logging.getLogger("perflens")

_HARVEST_AT_LEAST = 10.0
_SECOND = 1_000_000_000
_EXEMPLARS_KEPT = 600.0
_ANALYZED_CGROUPS = 200


class Agent:
    """Everything but the event loop.

    The thread of ``worker`` owns the accumulators, that of ``drainer`` the intake, that of the explainer the evidence; ``states``
    may be read by any. ``closed`` counts the connections that its server ends.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        probes: Mapping[str, Probe],
        tree: CgroupTree,
        privileges: Privileges | None = None,
    ) -> None:
        self.settings, self._host, self._probes, self._tree = settings, host, probes, tree
        filters.look(settings, tree)
        self._privileges = privileges or UnchangedPrivileges()
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker")
        self.drainer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drainer")
        self.access = Access(settings.web.api_token_file)
        self.guarding = guarding_of(settings)
        self.closed = Counter(dict.fromkeys(CLOSED, 0))
        self.states: list[ProbeState] = []
        self.running: list[Running] = []
        self._loader = choose(settings.loader, host)
        self.cluster = cluster_of(settings, os.environ)
        self._level = level_of(settings, self.cluster)
        self._owners = Owners(tree, self._level, self.cluster.pods)
        self._selection = selection_of(settings, self.cluster, tree, self._decide)
        self._is_settling = False
        if not isinstance(self._selection, NoSelection):
            self.cluster.when_names_come(self._names_came)
        self._reloaded = (True, time.time())
        self._harvested_at = 0.0
        self._named_disks: Mapping[tuple[int, int], Device] = {}
        self._read_cost = 0.0
        self.page = Page((), self.harvest)
        self._kernel_symbols = KernelSymbols(settings.path.procfs)
        visible = settings.path.procfs if host.sees_all_processes else ""
        self._procfs = procfs = Procfs(visible)
        self.devices = Devices(settings.path.sysfs, visible, time.monotonic, mounts)
        self._volumes = self.cluster.volumes(self.devices.all)
        self.explainer = Explainer(
            self._kernel_symbols,
            UserSymbols(settings.path.procfs),
            spans.start(settings.otlp.endpoint, settings.otlp.protocol, self._exported, node=self.cluster.node),
            EvidenceStore(time.monotonic_ns),
            Stacks(),
            self._name_owner,
            procfs.runs,
            rate=settings.events.explained,
            devices=self.devices.of_event,
            disk=self._disk,
            volume=self._volume,
        )
        processes = Processes(procfs, time.monotonic_ns)
        self.intake = Intake(Timeline(time.monotonic_ns), Slowest(), processes, self.explainer, self._owner_of_pid, self._name_cgroup)
        self.explainer.note = self.intake.note
        self.analyzing = self._analyzing() if settings.analyzer.enabled else None
        clock = time.monotonic_ns
        self.views = Views(
            self.intake,
            self.explainer,
            self.drainer,
            clock,
            lambda: self.states,
            self._owners.known,
            self.analyzing,
            lambda: self.settings,
            this_host(self.cluster.node),
        )

    def start(self) -> None:
        """Attach every probe that is enabled, then drop privileges; one that cannot be attached is a state, unless probes.strict."""
        ensure_files()
        _log.info("loader", extra=fields(loader=self._loader.name, reason=self._loader.why))
        self._selection.look()
        tuning = replace(filters.tuning(self.settings, self._tree), verdicts=self._selection.verdicts())
        self.devices.all()  # the first time takes longest
        tuning = replace(tuning, variables={**tuning.variables, "note_from": self._note_from()})
        before = overhead.nanoseconds_a_read()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="symbols") as reading:  # while the kernel looks at the programs
            ranges = reading.submit(self._kernel_symbols.ranges, FUNCTIONS)
            for name, probe in self._probes.items():
                if self.settings.probes[name].enabled and probe.enabled:
                    self.states.append(self._attach(name, probe, tuning))
        self._name_waits(ranges.result())
        if self.running and not self._kernel_symbols.readable:
            _log.warning("kernel symbols cannot be read: waits have no reason, and kernel stacks no names", extra=fields(cure=SYMBOLS_CURE))
        self._read_cost = max(overhead.nanoseconds_a_read() - before, 0.0)
        self.page = Page(
            collectors(self.running, labels_of(self._level), self._read_cost, self.devices, self._volumes.all, self.status), self.harvest
        )
        failed = [state.name for state in self.states if not state.attached]
        if failed and self.settings.probes.strict:
            raise StartError(f"not attached: {', '.join(failed)}; leave --probes.strict out to run without them")
        self._privileges.drop()

    def _name_waits(self, ranges: Sequence[tuple[int, int, str]]) -> None:
        """Tell the kernel side in which functions a sleep has a reason; the names of its own programs are in what is read next."""
        for own in self.running:
            own.kernel.set_wait_frames(ranges)
        self._kernel_symbols.rest(0.0)  # until the next stack is to be named

    def _attach(self, name: str, probe: Probe, tuning: Tuning) -> ProbeState:
        other = self._that_shares_with(probe)
        shared = other.shared() if other else {}
        looks = other is not None and other.looks_at_switches
        try:
            tuning = replace(tuning, knobs={**tuning.knobs, "notes_held": looks})
            kernel = running.start(name, probe, self._host, self.settings, tuning, shared=shared)
        except (ProbeError, LayoutError) as error:
            _log.error("probe not attached", extra=fields(probe=name, reason=error.reason, cure=error.cure))
            return ProbeState(name, attached=False, reason=error.reason, cure=error.cure)
        kernel.settle()
        if other and looks and kernel.has_waits:
            other.leave_switches()
        if probe.has_durations:
            kind = RunningRequests if probe.in_flight == "requests" else RunningOperations
            durations = kind(name, probe, kernel, self._host.machine, self._owners, self.settings)
            self.running.append(durations)
            self.intake.add(durations)
        else:
            processes = RunningProcesses(name, probe, kernel, self._host.machine, self._owners, self.settings)
            self.running.append(processes)
            self.intake.add_processes(processes)
        waits = {"waits": "yes" if kernel.has_waits else "no"} if probe.has_waits else {}
        _log.info("probe attached", extra=fields(probe=name, mechanism=kernel.mechanism, **waits))
        return ProbeState(name, attached=True, mechanism=kernel.mechanism, waits=kernel.has_waits)

    def _that_shares_with(self, probe: Probe) -> AttachedProbe | None:
        """The one whose tables of operations and their requests a probe has in common; what comes second of either kind has its own.

        The programs of bcc have none in common.
        """
        if self._loader.name == "bcc":
            return None
        others = [own for own in self.running if own.probe.has_requests]
        if not probe.has_requests or any(own.probe.in_flight == probe.in_flight for own in others):
            return None
        return others[0].kernel if others else None

    def _note_from(self) -> list[int]:
        return running.note_from(self.settings, self._probes, self._host.machine)

    def _analyzing(self) -> Analyzing:
        tokens = tokens_of(self.settings)
        hierarchies = find_hierarchies(os.fsencode(read_mountinfo(f"{self.settings.path.procfs}/1/mountinfo")))
        reader = HostReader(self.settings.path.procfs, self.settings.path.sysfs, hierarchies, most=_ANALYZED_CGROUPS)
        parts = Parts(
            self.worker,
            self.drainer,
            self.explainer.executor,
            self._snapshot,
            self.explainer.store,
            self.intake.timeline,
            self.intake.starts,
            self.intake.processes,
            self.devices.all,
            self._name_of,
            frozenset(name for name, probe in self._probes.items() if probe.has_durations and probe.in_flight == "slots"),
            self._owners.workloads,
            self.explainer.user.build_of,
        )
        state, traced = StateFile(self.settings.analyzer.state_file), self.explainer.chat
        host = this_host(self.cluster.node)
        return Analyzing(parts, reader, state, lambda own: telling(self.settings, own, tokens, traced), self.settings.path.procfs, host)

    def _snapshot(self) -> tuple[Totals, Mapping[str, str]]:
        self.harvest()
        counted = totals(self.running, time.monotonic_ns())
        return counted, self._owners.paths(counted.slow)

    def _name_of(self, owner_id: int) -> str:
        owner = self._owners.known(owner_id)
        return owner.name if owner else ""

    def harvest(self) -> None:
        """Bring every accumulator up to date, requests last: the owners of most are known by then."""
        self._harvested_at = time.monotonic()
        for own in sorted(self.running, key=lambda own: own.probe.in_flight == "requests"):
            own.harvest()

    def maintain(self) -> None:
        """Give the cells of dead owners back, expire their series, look for what hangs, and harvest if no scrape did."""
        now = time.monotonic()
        gone = self._owners.gone()
        for own in self.running:
            own.family.kill(gone, now)
        self._rename_disks(now)
        if now - self._harvested_at >= _HARVEST_AT_LEAST or any(own.family.is_recycling or own.family.is_holding for own in self.running):
            self.harvest()
        for own in self.running:
            own.family.recycle(now)
            own.family.expire(now - self.settings.series.expiry / _SECOND)
        if self._kernel_symbols.changed():
            self._name_waits(self._kernel_symbols.ranges(FUNCTIONS))
        self._kernel_symbols.rest()
        self.explainer.settle()
        for own in self._durations:
            own.exemplars.prune(own.family.histograms, time.time() - _EXEMPLARS_KEPT)
            if isinstance(own, RunningOperations):
                self._look_in_progress(own)
        for owner in self._owners.all_gone():
            if not any(own.family.has_cells(owner) for own in self.running):
                self._owners.forget(owner)
        if self.settings.filter.cgroup:
            ids = filters.cgroup_ids(self.settings, self._tree)
            for own in self.running:
                own.kernel.tune({"filter_cgroup": ids})
        self._selection.look()

    def _rename_disks(self, now: float) -> None:
        """A disk's number may be another one's by now, as with volumes that come and go: that one's requests bear its own name."""
        known = self.devices.known()
        if known is self._named_disks:
            return
        self._named_disks = known
        for own in self.running:
            if own.probe.in_flight == "requests":
                own.family.kill_renamed(lambda number: _name_of_disk(known, number), now)

    def _decide(self, cgroup_id: int, verdict: str) -> None:
        for own in self.running:
            own.kernel.decide(cgroup_id, verdict)

    def _names_came(self) -> None:
        """On the loop's thread; names that come together are looked at once."""
        if not self._is_settling:
            self._is_settling = True
            self.worker.submit(guarded, self._settle)

    def _settle(self) -> None:
        self._is_settling = False
        self._selection.settle()

    @property
    def _durations(self) -> list[RunningDurations]:
        return [own for own in self.running if isinstance(own, RunningDurations)]

    def _owner_of_pid(self, pid: int) -> int:
        path = self._procfs.cgroup(pid, on_v1=self._host.owner_by_memory)
        return 0 if path is None else self._tree.id_of("".join(f"/{name}" for name in path))

    def _disk(self, number: tuple[int, int]) -> str:
        device = self.devices.of(number)
        return device.name if device else ""

    def _volume(self, event: SlowEvent, owner: Owner) -> PodVolume | None:
        if not owner.pod.uid:
            return None
        device = event.object_name if event.is_request else self._disk(event.file.device)
        return self._volumes.of(owner.pod.uid, device)

    def _name_cgroup(self, event: CgroupEvent) -> None:
        if event.kind == "mkdir" and event.hierarchy == self._host.owner_hierarchy:
            self._owners.tell(event.cgroup_id, event.path)
            self.cluster.made(event.path)
            if not isinstance(self._selection, NoSelection):
                self.worker.submit(guarded, partial(self._selection.made, event.cgroup_id, event.path))

    def _look_in_progress(self, own: RunningOperations) -> None:
        """Show what has been in flight for long; the walk over all threads is spared while the slots show nothing old."""
        events: list[SlowEvent] = []
        if own.kernel.slots.read(self.settings.events.in_progress_after).old or own.kernel.overflowing:
            try:
                events = list(own.in_progress())
            except (ProbeError, ValueError) as error:
                _log.warning("operations in progress cannot be shown", extra=fields(probe=own.name, reason=str(error)))
        if events or own.is_shown:
            self.explainer.put_in_progress(own, events)
        own.is_shown = bool(events)

    def _name_owner(self, owner_id: int) -> Owner:
        """Return an owner; one that is new is bound by a harvest first, which knows its path though it may be gone."""
        return self._owners.known(owner_id) or self.worker.submit(self._resolve, owner_id).result(timeout=10)

    def _resolve(self, owner_id: int) -> Owner:
        if self._owners.known(owner_id) is None:
            self.harvest()
        return self._owners.resolve(owner_id, (), complete=False)

    def _exported(self, pairs: Sequence[tuple[Evidence, Exemplar]]) -> None:
        """Show spans that a collector took as exemplars; the exporter's thread calls it."""
        by_name = {own.name: own for own in self._durations}
        for evidence, exemplar in pairs:
            own = by_name.get(evidence.event.probe)
            if own:
                own.put_exemplar(evidence.event, evidence.owner.name, exemplar)

    def status(self) -> AgentStatus:
        """Return what the agent knows of itself."""
        evidence, capabilities = evidence_counts(self.running, self.intake, self.explainer), self._privileges.effective
        analysis = self.analyzing.counts() if self.analyzing else None
        kubernetes = self.cluster.counts(self._owners.unresolved)
        web = self.guarding.counts() if self.guarding else None
        found = status(self.states, self.running, self._owners, evidence, self._reloaded, capabilities, analysis, kubernetes, web)
        return replace(found, filter_cgroups=self._selection.counts(), connections_closed=dict(self.closed))

    def reload(self, read: Callable[[], Settings]) -> str:
        """Read the configuration again and apply it; return the error, empty for none. A bad one changes nothing."""
        try:
            new = read()
            error = self._unchangeable(new)
            if not error:
                if self.guarding:
                    self.guarding.reload()
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
            own.kernel.tune({"note_from": self._note_from()})
        _log.info("configuration reloaded", extra=fields(changed=", ".join(changed) or "nothing"))

    def stop(self) -> None:
        """Detach every probe and let the kernel side go."""
        for own in self.running:
            own.kernel.close()
        self.running.clear()


def _name_of_disk(known: Mapping[tuple[int, int], Device], number: int) -> str:
    """The kernel's own name of a disk, empty if there is none; sysfs writes its slashes otherwise."""
    device = known.get(device_of(number))
    return device.name.replace("!", "/") if device else ""


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
