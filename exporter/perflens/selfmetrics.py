"""The agent's own metrics: build, probes, ledgers, tables, reloads, process and interpreter."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from perflens import __version__
from perflens.analysis import AnalysisCounts
from perflens.export.prometheus.form import Format
from perflens.export.prometheus.text import TEXT
from perflens.model import AgentStatus, EvidenceCounts, KubernetesCounts, WebCounts

__all__ = [
    "OwnMetrics",
    "SelfMetrics",
    "build_info",
    "by_label",
    "closed_metric",
    "counter",
    "gauge",
    "incident_metrics",
    "numbers",
    "telling_metrics",
    "web_metrics",
]

_PROBE = ("probe",)
_DETAILS = {
    "overlong": "Operations longer than the last bucket's bound, counted in it.",
    "no_cell": "Operations aggregated as `other` because no histogram cell was free.",
    "slot_collision": "Operations kept in the overflow table because another thread in flight had their slot.",
    "name_truncated": "Owners whose cgroup path was too long for the kernel side.",
    "sleep_not_noted": "Sleeps of at least 1 ms whose reason is lost because the kernel's table of sleeps was full.",
    "requeued": "Times that a request was issued after its first, because the driver could not take it.",
    "held_unknown": "Requests of which the submission was not seen, counted as held back for no time.",
    "layer_not_noted": "Requests to stacked devices in no histogram: the kernel's table of them was full, or their end was not seen.",
}
_EVIDENCE = {
    "read": "Events that the agent took out of the ring.",
    "explained": "Events whose stacks were named and that were offered as spans.",
    "unexplained": "Events that were counted and no more, because there were too many at once.",
    "undecodable": "Events that are not laid out as the object says.",
}
_SYMBOLS = {
    "helper_restarts": "Times that the helper process which reads symbols was killed or died.",
    "timeouts": "Requests to that helper which were not answered in time.",
    "perf_maps_refused": "Perf maps of processes that could not be trusted.",
    "learn_skipped": "Programs whose symbols were not read ahead because there were too many at once.",
}
_SECOND = 1_000_000_000
_Make = Callable[..., GaugeMetricFamily] | Callable[..., CounterMetricFamily]
_Declared = Sequence[tuple[str, _Make, str, str, str]]


def gauge(name: str, text: str, *label_names: str) -> GaugeMetricFamily:
    """Return an empty family of gauges."""
    return GaugeMetricFamily(f"perflens_{name}", text, labels=label_names)


def counter(name: str, text: str, *label_names: str) -> CounterMetricFamily:
    """Return an empty family of counters."""
    return CounterMetricFamily(f"perflens_{name}", text, labels=label_names)


def numbers(make: _Make, *declared: tuple[str, str, float]) -> Iterator[Metric]:
    """Yield families of one number each, from name, text and value."""
    for name, text, value in declared:
        own = make(name, text)
        own.add_metric((), value)
        yield own


def by_label(make: _Make, name: str, text: str, label: str, counts: Mapping[str, float]) -> Metric:
    """Return a family with a number for each value of one label."""
    own = make(name, text, label)
    for value, count in counts.items():
        own.add_metric((value,), count)
    return own


class _StatusCollector(Collector):
    def __init__(self, read: Callable[[], AgentStatus]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        status = self._read()
        yield from build_info()
        yield from _probes(status)
        yield from _ledgers(status)
        yield from _tables(status)
        yield from _events(status)
        yield from _evidence(status.evidence)
        if status.analysis:
            yield from _analysis(status.analysis)
        if status.kubernetes:
            yield from _kubernetes(status.kubernetes)
        if status.filter_cgroups:
            of_pods = "Cgroups of pods and containers by what the filter by their names says of them; those of no_room count as undecided."
            yield by_label(gauge, "filter_cgroups", of_pods, "verdict", status.filter_cgroups)
        yield closed_metric(status.connections_closed)
        if status.web:
            yield from web_metrics(status.web)
        has_use = "Whether the agent has a capability that it has a use for: 1, or 0."
        yield by_label(gauge, "capability_effective", has_use, "capability", status.capabilities)
        succeeded, at = status.reload_succeeded, status.reload_succeeded_at
        yield from numbers(
            gauge,
            ("config_last_reload_successful", "Whether the last reload of the configuration succeeded.", succeeded),
            ("config_last_reload_success_timestamp_seconds", "When the configuration was last loaded with success.", at),
        )


def closed_metric(closed: Mapping[str, int]) -> Metric:
    """Return the connections that the server ended, by reason."""
    return by_label(counter, "web_connections_closed", "Connections that the agent ended by itself, by reason.", "reason", closed)


def web_metrics(own: WebCounts) -> Iterator[Metric]:
    """Yield whether the web configuration is in force, and whom it turned away."""
    succeeded, at = own.reload_succeeded, own.reload_succeeded_at
    yield from numbers(
        gauge,
        ("web_config_last_reload_successful", "Whether the web configuration could be used when it was last read.", succeeded),
        ("web_config_last_reload_success_timestamp_seconds", "When the web configuration was last read with success.", at),
    )
    yield by_label(counter, "web_requests_refused", "Requests that the web configuration turned away, by reason.", "reason", own.refused)
    why = "TLS handshakes that failed: for the client's certificate, or for anything else."
    yield by_label(counter, "web_handshakes_failed", why, "reason", own.handshakes_failed)


def incident_metrics(own: AnalysisCounts) -> Iterator[Metric]:
    """Yield the incidents that are open and those that were opened, and what may hinder that they are known."""
    active = gauge("incident_active", "Incidents that are open: 1 each.", "cause", "subject", "severity")
    for labels in dict.fromkeys(own.active):
        active.add_metric(labels, 1)
    yield active
    yield by_label(counter, "incidents", "Incidents that were opened, by their first cause.", "cause", dict(sorted(own.opened.items())))
    yield from numbers(
        counter,
        ("analysis_state_write_failures", "Times that the incidents could not be written to the state file.", own.unwritten),
        ("analysis_telling_failures", "Times that what tells incidents to a model and to Grafana could not be started.", own.untold),
    )


def telling_metrics(own: AnalysisCounts) -> Iterator[Metric]:
    """Yield what became of questions to a model and of annotations."""
    yield from _labelled(_LLM, own.telling.llm)
    yield from _sinks(own.telling.sinks)


def _analysis(own: AnalysisCounts) -> Iterator[Metric]:
    yield from incident_metrics(own)
    yield from numbers(
        counter,
        ("analysis_windows", "Windows that the analyzer looked at.", own.windows),
        ("analysis_early_windows", "Windows that it looked at early, because tasks waited for a resource.", own.early),
        ("analysis_impacts", "Windows in which operations were slow enough to ask why.", own.impacts),
        ("analysis_failures", "Windows that the analyzer could not look at.", own.failed),
        ("analysis_duration_seconds", "Time that the analyzer took.", own.seconds),
    )
    yield from telling_metrics(own)


_LLM = (
    ("requests", counter, "llm_requests", "Questions to the model, by what became of them.", "outcome"),
    ("claims", counter, "llm_claims", "Sentences of the model that were kept, or dropped and why.", "result"),
    ("tokens", counter, "llm_tokens", "Tokens that the model's server reported.", "direction"),
)
_SINKS = (
    ("delivered", "sink_delivered", "Incidents that a sink took, by what was done.", "operation"),
    ("failed", "sink_failed", "Requests to a sink that failed, by reason.", "reason"),
    ("dropped", "sink_dropped", "Incidents that a sink does not show, by reason.", "reason"),
)
_OF_SINK = (
    ("pending", "sink_pending", "Incidents of which a sink has not been told everything yet."),
    ("up", "sink_up", "Whether a sink gave a proper answer last."),
)
_SINGLE: Mapping[str, tuple[_Make, str, str]] = {
    "count": (counter, "llm_answers", "Questions that a request was sent for."),
    "sum": (counter, "llm_duration_seconds", "Time that they took."),
    "usage_missing": (counter, "llm_usage_missing", "Answers whose server told no tokens."),
    "rule_disagreements": (counter, "llm_rule_disagreements", "Answers that prefer another cause than the rules."),
    "tokens_remaining": (gauge, "llm_budget_tokens_remaining", "Tokens left of the day's budget."),
    "breaker_open": (gauge, "llm_breaker_open", "Whether the model is not asked because it failed: 1, or 0."),
}


def _labelled(declared: _Declared, found: Mapping[str, Mapping[str, float]]) -> Iterator[Metric]:
    if not found:
        return
    for kind, make, name, text, label in declared:
        yield by_label(make, name, text, label, dict(sorted(found[kind].items())))
    for kind in ("duration", "other"):
        for key, value in found.get(kind, {}).items():
            make, name, text = _SINGLE[key]
            yield from numbers(make, (name, text, value))


def _sinks(sinks: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Metric]:
    """What tells incidents: ``grafana`` and ``otlp_log``, each with its own numbers."""
    if not sinks:
        return
    for kind, name, text, label in _SINKS:
        counted = counter(name, text, "sink", label)
        for sink, found in sinks.items():
            for outcome, value in sorted(found[kind].items()):
                counted.add_metric((sink, outcome), value)
        yield counted
    for kind, name, text in _OF_SINK:
        state = gauge(name, text, "sink")
        for sink, found in sinks.items():
            state.add_metric((sink,), found["other"][kind])
        yield state


def _kubernetes(own: KubernetesCounts) -> Iterator[Metric]:
    yield from numbers(gauge, ("kubernetes_watch_up", "Whether names of pods come, by a watch or from the kubelet: 1, or 0.", own.up))
    of_state = "Pods of this node whose names are known, and those that are gone and remembered."
    yield by_label(gauge, "kubernetes_pods", of_state, "state", own.pods)
    declared: Sequence[tuple[str, str, str, Mapping[str, int]]] = (
        ("kubernetes_events", "Changes of pods that the API server told.", "type", own.events),
        ("kubernetes_errors", "Requests for names that failed, and answers that could not be used.", "reason", own.errors),
        ("kubernetes_names_unresolved", "Owners whose series carry an id, because their name did not come in time.", "of", own.unresolved),
    )
    for name, text, label, counts in declared:
        yield by_label(counter, name, text, label, counts)
    yield from numbers(
        counter,
        ("kubernetes_lists", "Times that all pods were listed.", own.lists),
        ("kubernetes_pods_refused", "Pods that were told without a proper name, or of another node.", own.refused),
        ("kubernetes_pods_evicted", "Pods that are gone and were forgotten before their time.", own.evicted),
    )


def build_info() -> Iterator[Metric]:
    """Yield what runs."""
    info = gauge("build_info", "Version of the agent and of the interpreter that runs it.", "version", "python_version")
    info.add_metric((__version__, platform.python_version()), 1)
    yield info


def _probes(status: AgentStatus) -> Iterator[Metric]:
    attached = gauge("probe_attached", "Whether a probe is attached.", *_PROBE)
    waits = gauge(
        "probe_waits_attached", "Whether the programs are attached that split an operation's time by what it waited for.", *_PROBE
    )
    info = gauge("probe_info", "By which mechanism a probe is attached.", "probe", "mechanism")
    for probe in status.probes:
        attached.add_metric((probe.name,), probe.attached)
        waits.add_metric((probe.name,), probe.waits)
        if probe.attached:
            info.add_metric((probe.name, probe.mechanism), 1)
    yield from (attached, waits, info)


def _ledgers(status: AgentStatus) -> Iterator[Metric]:
    entered = counter("probe_operations_entered", "Operations that began.", *_PROBE)
    outcomes = counter("probe_operations", "Operations by what became of them.", "probe", "outcome")
    in_flight = gauge("probe_operations_in_flight", "Operations that have not ended yet.", *_PROBE)
    missed = counter("probe_missed", "Runs of a program that the kernel left out, by the reason.", "probe", "program", "reason")
    unlisted = gauge(
        "probe_in_flight_unlisted", "Operations past their threshold of which the age was not read: there were too many.", *_PROBE
    )
    attributed = counter("probe_requests_attributed", "Requests by the method that found whose they are.", "probe", "method")
    details = {name: counter(f"probe_{name}", text, *_PROBE) for name, text in _DETAILS.items()}
    for probe, ledger in status.ledgers.items():
        entered.add_metric((probe,), ledger.entered)
        in_flight.add_metric((probe,), ledger.in_flight)
        for (program, reason), count in ledger.missed.items():
            missed.add_metric((probe, program, reason), count)
        unlisted.add_metric((probe,), ledger.unlisted)
        for outcome, count in ledger.outcomes.items():
            outcomes.add_metric((probe, outcome), count)
        for method, count in ledger.attributed.items():
            attributed.add_metric((probe, method), count)
        for name, count in ledger.details.items():
            details[name].add_metric((probe,), count)
    yield from (entered, outcomes, in_flight, unlisted, missed)
    yield from (family for family in (*details.values(), attributed) if family.samples)


def _events(status: AgentStatus) -> Iterator[Metric]:
    events = counter("slow_events", "Slow operations by what became of them as events.", "probe", "outcome")
    unattributed = counter("unattributed_seconds", "Time of operations off the CPU of which a switch or wake-up was missed.", *_PROBE)
    for probe, counts in status.events.items():
        for outcome in ("emitted", "suppressed", "ring_full", "buffer_busy"):
            events.add_metric((probe, outcome), getattr(counts, outcome))
    for probe, ns in status.unattributed.items():
        unattributed.add_metric((probe,), ns / _SECOND)
    yield from (events, unattributed)


def _evidence(counts: EvidenceCounts) -> Iterator[Metric]:
    for name, text in _EVIDENCE.items():
        yield by_label(counter, f"slow_events_{name}", text, *_PROBE, getattr(counts, name))
    processes, spans = counts.process_events, counts.spans
    sent = {outcome: processes.get(outcome, 0) for outcome in ("emitted", "ring_full")}
    yield by_label(counter, "process_events", "Processes and cgroups that came and went, by what became of the event.", "outcome", sent)
    yield from numbers(
        counter,
        ("process_events_read", "Events of processes taken out of the ring.", processes.get("read", 0)),
        ("process_events_undecodable", "Of these, not laid out as declared.", processes.get("undecodable", 0)),
        ("spans_made", "Spans that were made: exported, rejected, failed, or in the queue.", spans.get("created", 0)),
    )
    ended = {outcome: count for outcome, count in spans.items() if outcome not in ("created", "in_queue")}
    yield by_label(counter, "spans", "Spans by what became of them; those of queue_full and sampled_out were never made.", "outcome", ended)
    yield from numbers(gauge, ("spans_in_queue", "Spans that wait to be sent.", spans.get("in_queue", 0)))
    yield by_label(counter, "user_frames", "Frames of user stacks with a function's name, and without.", "outcome", counts.frames)
    yield by_label(counter, "evicted", "What a table of the last minutes had to give up before its time.", "table", counts.evicted)
    yield from numbers(gauge, ("processes", "Processes in the table of processes.", counts.processes))
    yield from numbers(counter, *((f"symbol_{name}", text, counts.symbols.get(name, 0)) for name, text in _SYMBOLS.items()))


def _tables(status: AgentStatus) -> Iterator[Metric]:
    used = gauge("cells_used", "Histogram cells in use in the kernel.", *_PROBE)
    capacity = gauge("cells_capacity", "Histogram cells that the kernel has.", *_PROBE)
    for probe, (count, limit) in status.cells.items():
        used.add_metric((probe,), count)
        capacity.add_metric((probe,), limit)
    series = gauge("series", "Series of a metric, each of a histogram's counted once.", "metric")
    dropped = counter("series_dropped", "Cells bound to an `other` series because the metric had reached its limit.", "metric")
    expired = counter("series_expired", "Series removed because their owner was gone for longer than series.expiry.", "metric")
    for metric, count in status.series.items():
        series.add_metric((metric,), count)
        dropped.add_metric((metric,), status.series_dropped[metric])
        expired.add_metric((metric,), status.series_expired[metric])
    yield from (used, capacity, series, dropped, expired)
    yield from numbers(gauge, ("owners", "Owners whose name is kept.", status.owners))
    yield from numbers(
        counter,
        ("owners_unnamed", "Owners whose cgroup path could not be read in full.", status.owners_unnamed),
        ("owners_name_cut", "Owners whose name was longer than a label may be, and lost its beginning.", status.owners_cut),
    )


class OwnMetrics:
    """A registry of its own, with the metrics of the process and the interpreter beside those of a collector."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, wanted: Callable[[str], bool], form: Format = TEXT) -> Iterator[bytes]:
        """Yield the own metrics that are wanted, in a format."""
        return form.client([metric for metric in self._registry.collect() if wanted(_exposed(metric))])


class SelfMetrics(OwnMetrics):
    """Those of the agent."""

    def __init__(self, read: Callable[[], AgentStatus]) -> None:
        super().__init__(_StatusCollector(read))


def _exposed(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name
