"""What the agent knows of itself, read off its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perflens.agent.explainer import Explainer
from perflens.agent.intake import Intake
from perflens.agent.running import Running, RunningDurations
from perflens.aggregate.series import Tally
from perflens.analysis import AnalysisCounts
from perflens.enrich.owners import Owners
from perflens.model import SLOW_WIDTH, AgentStatus, EvidenceCounts, KubernetesCounts, ProbeState, WebCounts

__all__ = ["evidence_counts", "status"]


def status(
    states: Sequence[ProbeState],
    running: Sequence[Running],
    owners: Owners,
    evidence: EvidenceCounts,
    reloaded: tuple[bool, float],
    capabilities: Mapping[str, bool],
    analysis: AnalysisCounts | None = None,
    kubernetes: KubernetesCounts | None = None,
    web: WebCounts | None = None,
) -> AgentStatus:
    """Return the state of the probes, tables and reloads; ``reloaded`` is whether the last one succeeded, and when one last did."""
    slow = [own for own in running if isinstance(own, RunningDurations)]
    tallies = {f"perflens_{metric}": tally for own in running for metric, tally in _tallies(own)}
    of_slow = [own.family.slow.tally() for own in slow]
    tallies["perflens_slow_operations_total"] = Tally(*map(sum, zip(*of_slow, strict=True))) if of_slow else Tally(0, 0, 0)
    return AgentStatus(
        probes=tuple(states),
        ledgers={own.name: own.ledger for own in running},
        events={own.name: own.events for own in slow},
        unattributed={own.name: _unattributed(own) for own in slow if own.probe.has_waits},
        evidence=evidence,
        cells={own.name: (own.family.cells_used, own.kernel.usable) for own in running},
        series={metric: tally.series for metric, tally in tallies.items()},
        series_dropped={metric: tally.dropped for metric, tally in tallies.items()},
        series_expired={metric: tally.expired for metric, tally in tallies.items()},
        owners=len(owners),
        owners_unnamed=owners.unnamed,
        owners_cut=owners.cut,
        reload_succeeded=reloaded[0],
        reload_succeeded_at=reloaded[1],
        capabilities=capabilities,
        analysis=analysis,
        kubernetes=kubernetes,
        web=web,
    )


def _tallies(own: Running) -> Iterator[tuple[str, Tally]]:
    """What becomes of the series of each part; counters share the series of a family, and are told of by the first of them."""
    for part, metric in enumerate(own.probe.metrics[: max(len(own.probe.parts), 1)]):
        yield metric, own.family.histograms.tally(part)


def _unattributed(own: Running) -> int:
    return own.family.slow.total(SLOW_WIDTH + own.kernel.wait_reasons.index("unattributed"))


def evidence_counts(running: Sequence[Running], intake: Intake, explainer: Explainer) -> EvidenceCounts:
    """Return what became of the events, of the spans and of what the tables of the last minutes hold."""
    user = explainer.user
    slow = [own for own in running if isinstance(own, RunningDurations)]
    names = [own.name for own in slow]
    processes = [own for own in running if own not in slow]
    return EvidenceCounts(
        read={name: intake.read[name] for name in names},
        explained={name: explainer.explained[name] for name in names},
        unexplained={name: intake.unexplained[name] + explainer.failed[name] for name in names},
        undecodable={name: intake.undecodable[name] for name in names},
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
            "starts": intake.starts.evicted,
            "started_programs": intake.starts.programs_evicted,
            "newest_starts": intake.newest_starts.evicted,
            "exemplars": sum(own.exemplars.dropped for own in slow),
        },
        process_events={
            "emitted": sum(own.events.emitted for own in processes),
            "ring_full": sum(own.events.ring_full for own in processes),
            "read": sum(intake.read[own.name] for own in processes),
            "undecodable": sum(intake.undecodable[own.name] for own in processes),
        },
        processes=intake.processes.living,
    )
