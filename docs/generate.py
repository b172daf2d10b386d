"""Writes the reference pages from what the code declares: `python -m docs.generate`, and `--check` to compare only.

docs/metrics.md comes from a page that a real agent renders over cells in its own memory, docs/configuration.md from the
settings, the tables of docs/memory.md from the structs of the compiled object. None of it needs root.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families

from docs.flags import NOTICE, cli
from docs.tables import host_bytes, tables_of
from perflens.agent import Agent, running
from perflens.agent.cluster import NoCluster, NoVolumes
from perflens.analysis import AnalysisCounts, TellingCounts
from perflens.analyzer.llm.counts import OUTCOMES
from perflens.cli.context import Context
from perflens.config.keys import Key, Section, leaves, tree
from perflens.config.settings import Settings
from perflens.config.values import span, written
from perflens.enrich.cgroups import CgroupTree
from perflens.enrich.devices import Devices
from perflens.enrich.kubernetes.place import Place
from perflens.enrich.kubernetes.selection import Selection, Wanted
from perflens.enrich.kubernetes.store import PodStore
from perflens.enrich.kubernetes.watch import PodWatch
from perflens.export.otlp.ledger import SpanLedger
from perflens.export.otlp.spans import NoSpans
from perflens.export.prometheus.page import Query
from perflens.fleet.counts import FleetCounts
from perflens.fleet.reader import REASONS as READ_REASONS
from perflens.fleetmetrics import FleetMetrics
from perflens.kernel.attached import Sizes, object_path, object_types
from perflens.kernel.features import Host, inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH, Device, KubernetesCounts, PodVolume, WebCounts
from perflens.probe import Probe
from perflens.registry import discover
from perflens.testing import FakeCells
from perflens.tui.keys import KEYS
from perflens.web_config.front import HANDSHAKES, REASONS

__all__ = ["LIMITS", "Metric", "configuration", "main", "memory", "metrics", "rendered"]

DOCS = Path(__file__).parent
BEGIN, END = "<!-- tables: written by `python -m docs.generate` -->", "<!-- end of the tables -->"

LIMITS: Mapping[str, tuple[str, str]] = {
    "perflens_analysis_telling_failures_total": (
        "Times that what tells incidents to a model and to Grafana could not be started, for a bug: they are in the API and in the metric.",
        "Report it, with the log.",
    ),
    "perflens_fleet_reads_total": (
        "Requests of `perflens analyze` to agents. All but `ok` failed, by reason; what an agent told last stands for ten minutes.",
        "The log names the agent and the reason ([a fleet](troubleshooting.md#a-fleet)).",
    ),
    "perflens_fleet_resolve_failures_total": (
        "Times that `fleet.dns` could not be resolved. The addresses that it had last are asked.",
        "Look at the headless Service, or at DNS.",
    ),
    "perflens_fleet_round_failures_total": (
        "Rounds that failed by a bug; the next one is made.",
        "Report it, with the log.",
    ),
    "perflens_fleet_incidents_lost_total": (
        "Incidents that are over because their agent was silent for ten minutes: nobody knows how they ended.",
        "Look after the hosts that are missing from `perflens_fleet_agents_up`.",
    ),
    "perflens_fleet_incidents_dropped_total": (
        "Incidents of hosts beyond 2,000, or 1,000 that are not merged, counted at each read. They are in their agents' APIs.",
        "Split the fleet: one `perflens analyze` for each part.",
    ),
    "perflens_fleet_incidents_unreadable_total": (
        "Incidents in the answers of agents that are none of this version.",
        "Run one version everywhere.",
    ),
    "perflens_fleet_agents_left_out": (
        "Agents beyond 2,000, which are not asked.",
        "Split the fleet.",
    ),
    "perflens_analysis_failures_total": (
        "Windows that the analyzer could not look at, for a bug of its own: the log has a traceback. The next window is looked at again.",
        "Report it, with the log.",
    ),
    "perflens_analysis_state_write_failures_total": (
        "Times that the incidents could not be written to `analyzer.state_file`: after a restart those that are open are opened anew.",
        "Let the agent write there, or set another file.",
    ),
    "perflens_llm_claims_total": (
        "Sentences of the model. `dropped_…` says what was wrong with one: a fact that does not exist, another number, a name.",
        "Nothing for few. A model most of whose sentences are dropped is of no use: choose another one.",
    ),
    "perflens_llm_requests_total": (
        "Questions to the model. `ok`, `repaired` and `skipped_cache` gave an answer that was used; else the rules answered.",
        "The log names the reason when it changes. `skipped_budget`: raise `llm.tokens_per_day`; `skipped_breaker`: it failed too often.",
    ),
    "perflens_llm_usage_missing_total": (
        "Answers of a server that tells no tokens: they are missing from `perflens_llm_tokens_total`, and the budget holds an estimate.",
        "Nothing.",
    ),
    "perflens_llm_rule_disagreements_total": (
        "Answers that prefer another cause than the rules. What is told is what the rules say.",
        "Look at the incident: one of both is wrong.",
    ),
    "perflens_sink_failed_total": (
        "Requests to a sink that failed. Those to `grafana` are made again with growing pauses, but for those that cannot succeed; "
        "those to `otlp_log` are not.",
        "The log names the reason: a token without the role Editor, a wrong URL, or a Grafana that is down.",
    ),
    "perflens_sink_dropped_total": (
        "Incidents that a sink will not show as they are. `grafana`: `budget` above `grafana.per_hour` or `per_day`, `expired` after a "
        "day's outage, `overflow` of the outbox. `otlp_log`: `unsent` to a collector that was down, `rejected` by it, `queue_full`. "
        "They are in the API and in `perflens_incident_active`.",
        "Raise the limits, or mend Grafana or the collector.",
    ),
    "perflens_web_connections_closed_total": (
        "Connections that the agent ended by itself: `idle` made room for others, since it serves 128 at once, and 64 that begin TLS; "
        "`unread` did not read an answer for two minutes, or was the slowest when more than four such answers held 32 MiB; `malformed` "
        "sent what is no HTTP.",
        "Nothing for few. Many: see who can reach the port.",
    ),
    "perflens_web_requests_refused_total": (
        "Requests that the [web configuration](web-config.md) turned away: `unauthorized` without the right password, `rate_limited`, "
        "and `busy` while too many passwords were being checked.",
        "Correct the password of who asks, raise `rate_limit`. Many of nobody's: see who can reach the port.",
    ),
    "perflens_web_handshakes_failed_total": (
        "TLS handshakes that came to nothing: `client_certificate` is missing, not trusted or has no allowed name; `protocol` is anything "
        "else, such as a client that speaks plain HTTP, or does not trust the agent.",
        "Look at the client's error: it says what it missed.",
    ),
    'perflens_probe_operations_total{outcome="other"}': (
        "Operations that were aggregated without their owner: no histogram cell was free, or the metric had `series.limit` series.",
        "The two numbers below tell which. Raise `cells` or `series.limit`, or set `owner.level: node`.",
    ),
    "perflens_probe_no_cell_total": (
        "Operations counted in an `other` cell because no cell of the kernel was free.",
        "Raise `cells` ([what it costs](memory.md)) and restart.",
    ),
    "perflens_series_expired_total": (
        "Series removed because their owner had been gone for `series.expiry`; their operations stay in the ledger.",
        "Nothing: owners come and go. Raise `series.expiry` if Prometheus scrapes so rarely that it misses their last samples.",
    ),
    "perflens_owners_name_cut_total": (
        "Owners whose name was longer than 256 characters and lost its beginning; two of them may share a series.",
        "Shorten the names of the cgroups.",
    ),
    "perflens_series_dropped_total": (
        "Cells bound to an `other` series because the metric had `series.limit` series.",
        "Raise `series.limit`, lower `series.expiry`, or set `owner.level: node`.",
    ),
    'perflens_probe_operations_total{outcome="no_slot"}': (
        "Operations that are in no histogram: their slot was taken, and the overflow table was full.",
        "Look for thousands of threads that hang in one file system; see the runbook of PerfLensSlotsExhausted.",
    ),
    "perflens_probe_slot_collision_total": (
        "Operations kept in the overflow table: another thread in flight had their slot. Nothing is lost.",
        "Nothing. It can only grow where `kernel.pid_max` is above 65,536.",
    ),
    'perflens_probe_operations_total{outcome="died"}': (
        "Operations whose exit was not seen: the thread is gone, or began another one.",
        "Nothing for single ones. If it grows with the load, look at `perflens_probe_missed_total`.",
    ),
    'perflens_probe_operations_total{outcome="merged"}': (
        "Requests that went into another one, made before them, and are part of what that took. Their bytes are its bytes.",
        "Nothing: the scheduler does its work.",
    ),
    "perflens_probe_requeued_total": (
        "How often a request was issued again: the driver could not take it, so its time in the queue went on.",
        "Nothing for few. Many say that the device or its driver is short of room for requests.",
    ),
    "perflens_probe_held_unknown_total": (
        "Requests of which the bio's submission was not seen or was forgotten: they count as held back for no time.",
        "Nothing for few: those of drivers and file systems that make requests themselves. Else look at `perflens_probe_missed_total`.",
    ),
    "perflens_probe_layer_not_noted_total": (
        "Requests to devices stacked on others that are not in their histogram: more than 4,096 of them were under way, or their end "
        "was not seen.",
        "Nothing; the disks below count every request.",
    ),
    'perflens_probe_operations_total{outcome="filtered"}': (
        "Calls on a descriptor behind which no file is open. They are in no histogram, on purpose.",
        "Nothing. A program that makes many of them closes files twice.",
    ),
    'perflens_probe_operations_total{outcome="undecided"}': (
        "Operations of pods or containers whose name a [filter by names](owners.md#filters-by-name) did not know yet. They are in no "
        "histogram. 0 without such a filter.",
        "Nothing for few: they began before the name was known. If it grows, look at `perflens_filter_cgroups` and after the watch.",
    ),
    'perflens_probe_operations_total{outcome="blocking_peer"}': (
        "Calls that wait for a peer and not for storage. They are in no histogram, on purpose.",
        "Nothing; see [coverage](coverage.md).",
    ),
    "perflens_probe_missed_total": (
        "How often the kernel left out a program, so that so many operations at most were not seen or did not end. `recursion`: it was "
        "running already on that CPU. `kprobe`: more than 2,048 calls slept in that function, or another kprobe was running.",
        "Stop other tracers of the same hooks, or choose another rung with `probes.NAME.attach`.",
    ),
    "perflens_probe_overlong_total": (
        "Operations longer than 4,096 s. They are counted in the last bucket, and their time in the sum is exact.",
        "Find what hangs for an hour.",
    ),
    "perflens_probe_name_truncated_total": (
        "Owners whose cgroup path did not fit into 512 bytes or 24 levels when a cell was claimed. The agent looks their path up.",
        "Nothing, unless `perflens_owners_unnamed_total` grows too.",
    ),
    "perflens_owners_unnamed_total": (
        "Owners whose path neither the kernel side nor the cgroup tree gave in full. Their `unit` is `unknown` or begins with `…`.",
        "Let the agent see the whole tree: [troubleshooting](troubleshooting.md#cgroup-tree).",
    ),
    "perflens_probe_sleep_not_noted_total": (
        "Sleeps whose reason is lost: over 2,048 operations slept for 1 ms at once. Their time is `unclassified`, or the next sleep's.",
        "Look for thousands of threads that hang in one file system.",
    ),
    "perflens_unattributed_seconds_total": (
        "Time off the CPU of which a switch or a wake-up was not seen. It is the reason `unattributed` of the waits.",
        "Nothing for little. If it grows with the load, look at `perflens_probe_missed_total`.",
    ),
    'perflens_slow_events_total{outcome="suppressed"}': (
        "Slow operations above their owner's `events.rate`. They are in every metric, and in the timeline; nobody looks at their stacks.",
        "Raise `events.rate` or `events.burst`, or the threshold: so many are slow that the word means little.",
    ),
    'perflens_slow_events_total{outcome="ring_full"}': (
        "Slow operations that the ring had no room for: the agent did not get to drain it. They are in every metric.",
        "Give the agent a CPU, or lower `events.rate`; see the runbook of PerfLensEventsLost.",
    ),
    'perflens_slow_events_total{outcome="buffer_busy"}': (
        "Slow operations that ended while another one's event was being written on their CPU, by a thread that they preempted. They are "
        "in every metric.",
        "Nothing: it takes a preemptible kernel and two slow operations in the same microseconds.",
    ),
    "perflens_slow_events_unexplained_total": (
        "Events that are in the timeline and among the slowest processes, without stacks or a span: more than `events.explained` a second.",
        "Raise `events.explained`, which costs the agent processor time, or the threshold.",
    ),
    "perflens_slow_events_undecodable_total": (
        "Events that are not laid out as the object says.",
        "The log line `an event cannot be decoded` has the first; [report it](troubleshooting.md#while-it-runs).",
    ),
    'perflens_process_events_total{outcome="ring_full"}': (
        "Processes or cgroups that came or went and of which the ring had no room to tell. The counters of processes have them all.",
        "Give the agent a CPU: the ring holds a second of 4,000 processes. The tree of processes may lack some.",
    ),
    "perflens_process_events_undecodable_total": (
        "Events of processes and cgroups that are not laid out as the object says.",
        "The log line `an event cannot be decoded` has the first; [report it](troubleshooting.md#while-it-runs).",
    ),
    'perflens_spans_total{outcome="failed"}': (
        "Spans of batches that did not arrive, or were queued at the end.",
        "Look after the collector: the log has its answer ([spans](spans.md#what-is-lost)).",
    ),
    'perflens_spans_total{outcome="rejected"}': ("Spans that a collector refused, in a batch that it took.", "The log has its reason."),
    'perflens_spans_total{outcome="queue_full"}': (
        "Spans that were not made: the queue had no room for the operation and its waits.",
        "Raise `OTEL_BSP_MAX_QUEUE_SIZE`, or find out why the collector is slow.",
    ),
    'perflens_spans_total{outcome="sampled_out"}': ("Spans that `OTEL_TRACES_SAMPLER` did not want.", "Nothing."),
    'perflens_user_frames_total{outcome="unresolved"}': (
        "Frames of user stacks without a function's name: a stripped file, a process that was gone too soon, a compiler at run time.",
        "Install debug symbols, or `perf-PID.map` for what is compiled at run time; else nothing.",
    ),
    "perflens_symbol_helper_restarts_total": (
        "How often the process that reads symbols was ended for taking too long, or died. The next stack begins another.",
        "Nothing for single ones: a file system that hangs does that. Else report it.",
    ),
    "perflens_symbol_timeouts_total": (
        "Requests to it that were not answered in a second; their frames stay without a name.",
        "As above.",
    ),
    "perflens_symbol_perf_maps_refused_total": (
        "Perf maps that are not the process's own, or too large.",
        "A `perf-PID.map` must be a plain file of the user that the process runs as.",
    ),
    "perflens_symbol_learn_skipped_total": (
        "Programs whose symbols were not read while they lived: more than 100 a second began. Their frames may stay without a name.",
        "Nothing.",
    ),
    "perflens_evicted_total": (
        "What was shown for less than its time, by table: `evidence` and `stacks` of the API, `slow_processes`, `processes`, "
        "`timeline` (operations told after their second had left the window), `newest_starts` (forks and execs beyond 1,000 in five "
        "minutes, which the counts by second have all the same), `starts` and `started_programs` (forks of the parents with fewest, and "
        "programs that are looked at as changes, both beyond 4,096 between two looks of the analyzer), `exemplars` (of series above "
        "`series.limit`).",
        "Nothing: metrics are not made of these. Raise the threshold if the API shows too short a time.",
    ),
    "perflens_block_device_left_out": (
        "Block devices beyond 1,024, pairs of one device above another beyond 1,024, mounts beyond 256 or beyond 64 of one device, "
        "volumes of pods beyond 1,024: the metrics `perflens_block_device_…_info` lack so many now.",
        "Nothing: operations are counted all the same. A slow one on a device that is not kept has no `devices`.",
    ),
    'perflens_filter_cgroups{verdict="no_room"}': (
        "Cgroups of pods and containers that the filter by names cannot tell apart: there are more than 8,192. What they do is undecided.",
        "Filter by namespace or pod alone: containers take an entry each.",
    ),
    "perflens_kubernetes_errors_total": (
        "Requests to the API server or the kubelet that failed, and answers that could not be used. `gone` is none: the pods are listed "
        "again.",
        "The log names the reason when names stop to come ([names of pods](troubleshooting.md#names-of-pods)); `forbidden` of a "
        "watch that is up is about ReplicaSets or Jobs.",
    ),
    "perflens_kubernetes_names_unresolved_total": (
        "Owners whose series carry an id, because their pod, or its container, had no name within 10 s.",
        "Few of `container` are usual: a pod's first container has no name. For `pod` look after the watch.",
    ),
    "perflens_kubernetes_pods_refused_total": (
        "Times that the API server, or the kubelet with each answer, told of a pod without a proper name, or of another node's.",
        "Nothing for single ones. All of a kubelet's: `kubernetes.node_name` is not the node's name. Else report it.",
    ),
    "perflens_kubernetes_pods_evicted_total": (
        "Pods that are gone and were forgotten before their last series: more than 4,096 ended within the time.",
        "Nothing: only operations that are seen for the first time after that lack names.",
    ),
    "perflens_scrape_collector_success": (
        "0 when a collector failed: its families are missing or cut short on this page.",
        "The log line `a collector failed` has the error; [report it](troubleshooting.md#a-collector-failed).",
    ),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of the page: its name as it is queried, and the values of each of its labels."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, tuple[str, ...]]


class _Spans(NoSpans):
    """None, counted as those of a collector are."""

    def counts(self) -> Mapping[str, int]:
        return SpanLedger(1).counts()


class _Devices(Devices):
    """A disk that has a mount and lies on another one, whatever this host has."""

    def __init__(self) -> None:
        """Nothing is read."""

    def all(self) -> tuple[Device, ...]:
        return (Device("dm-0", (253, 0), "dm", 1 << 30, False, False, "vg-root", "", "", "dm-0", mounts=(("/", "ext4"),)),)

    def edges(self) -> tuple[tuple[str, str], ...]:
        return (("dm-0", "sda"),)

    def left_out(self) -> tuple[int, int]:
        return 0, 0


class _Volumes(NoVolumes):
    def all(self) -> tuple[PodVolume, ...]:
        return (PodVolume("dm-0", "", "shop", "db-0", "data", "pvc-1", "data-db-0"),)


class _Cluster(NoCluster):
    """One that was asked for nothing yet."""

    def counts(self, unresolved: Mapping[str, int]) -> KubernetesCounts:  # type: ignore[override]
        return PodWatch(Place("", "", "", ""), PodStore(0)).counts(unresolved)


def _agent() -> tuple[Agent, dict[str, FakeCells]]:
    """An agent whose probes are attached to nothing: those that are enabled unless the configuration says otherwise."""
    cells: dict[str, FakeCells] = {}

    def attach(name: str, probe: Probe, _host: Host, **_: object) -> FakeCells:
        cells[name] = FakeCells(name, probe, cells=128)
        return cells[name]

    probes = {name: probe for name, probe in discover().items() if probe.enabled}
    made = Agent(Settings(), inspect(), probes, CgroupTree("/nowhere"))
    made.devices = _Devices()
    made._volumes = _Volumes()
    with patch.object(running, "attach", attach):
        made.start()
    made.explainer.spans = _Spans()
    made.cluster = _Cluster()
    made._selection = Selection(made._tree, Wanted(), made.cluster.pods, made._decide, 0)
    missing = [state.name for state in made.states if not state.attached]
    if missing:
        raise SystemExit(f"no object of {', '.join(missing)}: run make objects")
    return made, cells


_OBJECTS = {"fs": "ext4", "device": "sda"}


_ANALYSIS = AnalysisCounts(
    active=(("NOISY_NEIGHBOUR_IO", "sda", "warning"),),
    opened={"NOISY_NEIGHBOUR_IO": 1},
    telling=TellingCounts(
        {
            "requests": dict.fromkeys(OUTCOMES, 0),
            "claims": {"kept": 0, "dropped_number": 0},
            "tokens": {"input": 0, "output": 0},
            "duration": {"count": 0, "sum": 0},
            "other": dict.fromkeys(("usage_missing", "rule_disagreements", "tokens_remaining", "breaker_open"), 0),
        },
        {
            "grafana": {
                "delivered": dict.fromkeys(("create", "update", "resolve", "tidy"), 0),
                "failed": {"timeout": 0},
                "dropped": dict.fromkeys(("expired", "overflow"), 0),
                "other": {"pending": 0, "up": 1},
            },
            "otlp_log": {
                "delivered": dict.fromkeys(("opened", "updated", "resolved"), 0),
                "failed": {"export": 0},
                "dropped": dict.fromkeys(("queue_full", "rejected", "unsent"), 0),
                "other": {"pending": 0, "up": 1},
            },
        },
    ),
)


class _Web:
    """A web configuration, counted as one that turned nobody away."""

    def counts(self) -> WebCounts:
        return WebCounts(True, 0, dict.fromkeys(REASONS, 0), dict.fromkeys(HANDSHAKES, 0))


def rendered() -> str:
    """Return the page of an agent that has seen one operation of each kind, with every wait, and another one in flight."""
    made, cells = _agent()
    if made.analyzing:
        made.analyzing.counts = lambda: _ANALYSIS  # type: ignore[method-assign]
    made.guarding = _Web()  # type: ignore[assignment]
    for running_probe in made.running:
        own, probe = cells[running_probe.name], running_probe.probe
        objects = [_OBJECTS[part.object_label] for part in probe.parts] or [""]
        for operation in own.operations:
            found = [own.record(77, name, operation, 10_000_000, part=part) for part, name in enumerate(objects)]
            for reason in own.wait_reasons:
                own.wait(found[probe.counted], reason, 1_000_000)
            own.begin(os.getpid() + operation, 77, operation, time.monotonic_ns() - 10_000_000)
    of_fleet = FleetMetrics(lambda: FleetCounts(reads=dict.fromkeys(("ok", *READ_REASONS), 0)))
    try:
        fleet = b"".join(of_fleet.render(lambda name: name.startswith("perflens_fleet_"))).decode()
        return made.page.render(Query()).decode() + fleet
    finally:
        made.stop()


def families(page: str) -> Iterator[Metric]:
    """Yield the families of a page that are the agent's own, in its order."""
    for family in text_string_to_metric_families(page):
        values: dict[str, dict[str, None]] = defaultdict(dict)
        for sample in family.samples:
            for label, value in sample.labels.items():
                values[label][value] = None
        if family.name.startswith("perflens_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label: tuple(found) for label, found in values.items() if label != "le"}
            yield Metric(name, family.type, family.documentation, labels)


_CLOSED = ("operation", "sink", "reason", "outcome", "probe", "collector", "metric", "table", "capability")


def _row(metric: Metric) -> str:
    return f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"


def _closed_values(found: Sequence[Metric]) -> Iterator[str]:
    for label in _CLOSED:
        values = dict.fromkeys(value for metric in found for value in metric.labels.get(label, ()))
        yield f"| `{label}` | {', '.join(f'`{value}`' for value in values)} |"


def _limit_rows(found: Sequence[Metric]) -> Iterator[str]:
    known = {metric.name: metric for metric in found}
    for name, (meaning, cure) in LIMITS.items():
        bare, _, label = name.partition("{")
        wanted = re.findall(r'(\w+)="(\w+)"', label)
        if bare not in known or any(value not in known[bare].labels.get(key, ()) for key, value in wanted):
            raise SystemExit(f"{name} is described in docs/generate.py and is not on the page")
        yield f"| `{name}` | {meaning} | {cure} |"


def metrics() -> str:
    """Return docs/metrics.md."""
    found = list(families(rendered()))
    return "\n".join(
        (
            NOTICE,
            "# Metrics",
            "",
            "What the agent serves at `/metrics`, in the order of the page. All names begin with `perflens_`; times are in seconds.",
            "Beside them stand the `process_*` and `python_*` metrics of the Prometheus client library, with their usual meaning.",
            "The last ones, `perflens_fleet_*`, are those of [`perflens analyze`](analyzer.md#beside-a-fleet). It serves them at `:9436`,",
            "with those of incidents, of a model and of Grafana.",
            "",
            "| metric | type | labels | meaning |",
            "|---|---|---|---|",
            *map(_row, found),
            "",
            "A histogram has the buckets `le` 2^-20 to 2^12 s, one an octave, and `+Inf`. Bounds are inclusive.",
            "`unit` is the owner: a systemd unit, else the cgroup's path, `/` for the root cgroup, `other` where a limit was reached.",
            "With `owner.level: node` there is no `unit`; in a cluster there are `namespace` and `workload` in its place, and more with",
            "other levels ([owners](owners.md)). The metrics `perflens_kubernetes_…` are served in a cluster only, and",
            "`perflens_filter_cgroups` with a filter by names of pods. A label of its own that",
            "a probe has (`fs`) names the file system's type.",
            "",
            "| label | values |",
            "|---|---|",
            *_closed_values(found),
            "",
            "## The ledger",
            "",
            "`perflens_probe_operations_entered_total` is the sum of `perflens_probe_operations_total` over all outcomes and",
            "`perflens_probe_operations_in_flight`, exactly, once the host is quiet. [Architecture](architecture.md#the-ledger) says",
            "where each term is counted.",
            "",
            "## Losses and limits",
            "",
            "What is dropped, folded or left out has a number. Two things have none: series that expire (their operations stay in the",
            "ledger), and names of owners longer than 256 characters, which keep their end.",
            "",
            "| number | meaning | what to do |",
            "|---|---|---|",
            *_limit_rows(found),
            "",
            "`perflens_cells_used` of `perflens_cells_capacity` and `perflens_series` say how near the limits are.",
            "The capacity includes 8 cells that are reserved for `other`, so the number used stays a little below it.",
            "",
        )
    )


def _values(key: Key) -> str:
    if key.kind == "boolean":
        return "`true`, `false`"
    if key.kind == "choice":
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.kind == "list":
        return f"list of {key.limits[1]} at most" if key.limits else "list"
    return f"{key.kind} {span(key)}" if key.limits else "text"


def _default(key: Key) -> str:
    text = "" if key.default is None else written(key, key.default)
    return f"`{text}`" if text else "none"


def _key_row(key: Key) -> str:
    if key.entry:
        flag, variable = f"`--threshold={key.path[1]}.{key.path[-1]}=…`", "the same in `PERFLENS_THRESHOLD`"
    else:
        flag = f"`{key.flag}`" + (f", `{key.off_flag}`" if key.kind == "boolean" else "")
        variable = f"`{key.variable}`"
    reload = "yes" if key.reload else "no"
    return f"| `{key.dotted}` | {flag} | {variable} | {_default(key)} | {_values(key)} | {reload} | {key.help} |"


_HEAD = ("| key | flag | environment variable | default | values | reload | meaning |", "|---|---|---|---|---|---|---|")


def _sections(root: Section) -> Iterator[str]:
    top = [child for child in root.children.values() if isinstance(child, Key)]
    yield from ("## Top level", "", *_HEAD, *map(_key_row, top), "")
    for name, child in root.children.items():
        if isinstance(child, Section):
            yield from (f"## {name}", "", child.help, "", *_HEAD, *map(_key_row, leaves(child)), "")


def configuration() -> str:
    """Return docs/configuration.md."""
    return "\n".join(
        (
            NOTICE,
            "# Configuration",
            "",
            "The agent needs none. A flag stands above an environment variable, that above the file, and that above the default.",
            "The file is YAML, named with `--config.file` or `PERFLENS_CONFIG_FILE`. A dotted key is a nested one:",
            "",
            "```yaml",
            "threshold: 10ms",
            "web:",
            '  listen_address: ["127.0.0.1:9435"]',
            "probes:",
            "  file:",
            "    thresholds: {fsync: 100ms}",
            "```",
            "",
            "A duration has a unit: `h`, `m`, `s`, `ms`, `us` or `ns`, also together: `1h30m`. Unknown keys, flags and variables are",
            "errors, all of them reported at once with place and cure. `perflens config check` looks at a configuration,",
            "`perflens config show` prints it with its defaults, `perflens config schema` prints a JSON Schema for editors.",
            "",
            "SIGHUP reads everything again, as does POST or PUT on `/-/reload` with `web.enable_lifecycle`. A configuration that is",
            "wrong, or changes a key with *no* under *reload*, is refused as a whole and the old one stays.",
            "",
            *_sections(tree(Context.of({}).catalogue)),
        )
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.2f}"


def _table_rows(name: str, probe: Probe, sizes: Sizes) -> Iterator[str]:
    for table in tables_of(name, probe, sizes):
        kind = f"mapped {table.kind}" if table.mapped else table.kind
        size = "" if table.kind == "ring" else f"{table.key} + {table.value:,}"
        yield f"| {name} | `{table.name}` | {kind} | {size} | {table.formula} |"


def _share_rows(probes: Mapping[str, Probe]) -> Iterator[str]:
    for name, probe in probes.items():
        cells = f"min(`cells`, {probe.cells:,})" if probe.cells else "`cells`"
        yield f"| {name} | {cells} | min(shards, {probe.shards}) | {probe.ring >> 20} MiB |"


def _host_rows(probes: Mapping[str, Probe], host: Host, cells: int) -> Iterator[str]:
    for cpus in (2, 8, 128):
        for pid_max in (32_768, 4_194_304):
            sizes = Sizes.of(replace(host, possible_cpus=cpus, pid_max=pid_max), cells)
            found = host_bytes(probes, sizes, cpus)
            columns = (f"{cells:,}", f"{cpus}", f"{pid_max:,}", f"{sizes.shards}", f"{sizes.slots:,}", *map(_mib, found.values()))
            yield f"| {' | '.join(columns)} | **{_mib(sum(found.values()))}** |"


def _reasons() -> int:
    return object_types(object_path("file", platform.machine())).struct("cell")["wait"].count


def memory() -> str:
    """Return the tables of docs/memory.md."""
    probes, host, cells = discover(), inspect(), Settings().cells
    return "\n".join(
        (
            BEGIN,
            "| probe | table | kind | key + value, bytes | entries |",
            "|---|---|---|---|---|",
            *(row for name, probe in probes.items() for row in _table_rows(name, probe, Sizes(cells, 65_536, 8))),
            "",
            "Of which each probe takes:",
            "",
            "| probe | cells | shards | ring |",
            "|---|---|---|---|",
            *_share_rows(probes),
            "",
            "The agent's own:",
            "",
            "| what | bytes | how many |",
            "|---|---|---|",
            f"| histogram row | {8 * HISTOGRAM_WIDTH:,} | series, in steps of 64 |",
            f"| row of slow operations | {8 * (SLOW_WIDTH + _reasons())} | series of slow operations, in steps of 64 |",
            "",
            "Kernel memory in MiB with all probes, by `cells`, possible CPUs and `kernel.pid_max`:",
            "",
            f"| cells | possible CPUs | pid_max | shards | slots | {' | '.join(probes)} | sum |",
            f"|{'---|' * (len(probes) + 6)}",
            *_host_rows(probes, host, cells),
            *_host_rows(probes, host, 1_024),
            END,
        )
    )


def top() -> str:
    """Return the table of the keys of `perflens top`."""
    rows = [f"| {' '.join(f'`{name}`' for name in key.written.split())} | {key.meaning} |" for key in KEYS]
    return "\n".join((BEGIN, "", "| key | does |", "|---|---|", *rows, "", END))


def _within(name: str, tables: Callable[[], str]) -> Callable[[], str]:
    """Make a page that is written by hand but for its tables."""

    def page() -> str:
        before, _, rest = (DOCS / name).read_text().partition(BEGIN)
        return before + tables() + rest.partition(END)[2]

    return page


PAGES: Mapping[str, Callable[[], str]] = {
    "metrics.md": metrics,
    "configuration.md": configuration,
    "cli.md": cli,
    "memory.md": _within("memory.md", memory),
    "top.md": _within("top.md", top),
}


def stale() -> dict[str, str]:
    """Return the pages that are not what the code says now, with the text that they should have."""
    wanted = {name: make() for name, make in PAGES.items()}
    return {name: text for name, text in wanted.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or with --check name those that would change; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description="Write the reference pages from the code.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when a page would change")
    arguments = parser.parse_args(argv)
    changed = stale()
    for name, text in changed.items():
        print(f"docs/{name} {'is out of date: run python -m docs.generate' if arguments.check else 'written'}")
        if not arguments.check:
            (DOCS / name).write_text(text)
    return int(arguments.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
