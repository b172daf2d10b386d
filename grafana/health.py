"""What is asked about the agents themselves: are they there, is every operation accounted for, and what do they cost."""

from __future__ import annotations

from grafana.promql import compose, rate
from grafana.selectors import AGENT, OWNER

SENT = 'outcome=~"exported|rejected|failed"'


def present(metric: str, by: str) -> str:
    """A gauge, or the present value of a counter, in sum by labels."""
    return f"sum by ({by}) ({metric}{{{AGENT}}})"


def by_probe(metric: str) -> str:
    return present(metric, "instance, probe")


def by_agent(metric: str) -> str:
    return present(metric, "instance")


# The analyzer beside a fleet has build_info too, and is no agent: it does not reload its configuration, and it counts agents.
AGENTS = f"count(perflens_config_last_reload_successful{{{AGENT}}})"
VERSIONS = f"count by (version, python_version) (perflens_build_info{{{AGENT}}} unless on (job, instance) perflens_fleet_agents{{{AGENT}}})"
PROBES_NOT_ATTACHED = f"sum(1 - perflens_probe_attached{{{AGENT}}})"
PROBE_ATTACHED = by_probe("perflens_probe_attached")
MECHANISMS = f"max by (instance, probe, mechanism) (perflens_probe_info{{{AGENT}}})"
RELOAD_FAILED = f"sum(1 - perflens_config_last_reload_successful{{{AGENT}}})"

OUTCOMES = rate("perflens_probe_operations_total", AGENT, "probe, outcome")
ENTERED = rate("perflens_probe_operations_entered_total", AGENT, "probe")
IN_FLIGHT = by_probe("perflens_probe_operations_in_flight")
UNLISTED = by_probe("perflens_probe_in_flight_unlisted")

# Each of these is 0 once the machine is quiet, but for what is on the way.
LEDGER_GAP = (
    f"{by_probe('perflens_probe_operations_entered_total')} - {by_probe('perflens_probe_operations_total')}"
    f" - {by_probe('perflens_probe_operations_in_flight')}"
)
IN_RING = (
    f'sum by (instance, probe) (perflens_slow_events_total{{{AGENT}, outcome="emitted"}}) - {by_probe("perflens_slow_events_read_total")}'
)
ON_THE_WAY = (
    f"{by_probe('perflens_slow_events_read_total')} - {by_probe('perflens_slow_events_explained_total')}"
    f" - {by_probe('perflens_slow_events_unexplained_total')} - {by_probe('perflens_slow_events_undecodable_total')}"
)
PROCESSES_IN_RING = (
    f'sum by (instance) (perflens_process_events_total{{{AGENT}, outcome="emitted"}}) - {by_agent("perflens_process_events_read_total")}'
)
SPANS_ON_THE_WAY = (
    f"{by_agent('perflens_spans_made_total')} - sum by (instance) (perflens_spans_total{{{AGENT}, {SENT}}})"
    f" - {by_agent('perflens_spans_in_queue')}"
)

EVENTS = rate("perflens_slow_events_total", AGENT, "outcome")
SUPPRESSED = rate("perflens_slow_events_total", f'{AGENT}, outcome="suppressed"', "instance, probe")
LOST_EVENTS = rate("perflens_slow_events_total", f'{AGENT}, outcome=~"ring_full|buffer_busy"', "instance, probe")
LOST_PROCESSES = rate("perflens_process_events_total", f'{AGENT}, outcome="ring_full"', "instance")
EXPLAINED = rate("perflens_slow_events_explained_total", AGENT, "instance, probe")
UNEXPLAINED = rate("perflens_slow_events_unexplained_total", AGENT, "instance, probe")
UNDECODABLE = rate("perflens_slow_events_undecodable_total", AGENT, "instance, probe")
FRAMES = rate("perflens_user_frames_total", AGENT, "outcome")
SPANS = rate("perflens_spans_total", AGENT, "outcome")
SPANS_IN_QUEUE = by_agent("perflens_spans_in_queue")

MISSED = rate("perflens_probe_missed_total", AGENT, "instance, probe")
MISSED_BY_PROGRAM = rate("perflens_probe_missed_total", AGENT, "program, reason")
NO_CELL = rate("perflens_probe_no_cell_total", AGENT, "instance, probe")
UNATTRIBUTED = rate("perflens_unattributed_seconds_total", AGENT, "instance, probe")
NOT_NOTED = rate("perflens_probe_sleep_not_noted_total", AGENT, "instance, probe")
UNNAMED = rate("perflens_owners_unnamed_total", AGENT, "instance")
NAMES_CUT = rate("perflens_owners_name_cut_total", AGENT, "instance")
EVICTED = rate("perflens_evicted_total", AGENT, "table")
HELPER_RESTARTS = rate("perflens_symbol_helper_restarts_total", AGENT, "instance")
HELPER_TIMEOUTS = rate("perflens_symbol_timeouts_total", AGENT, "instance")

# Where the pods of a cluster are watched.
WATCHED = by_agent("perflens_kubernetes_watch_up")
PODS = present("perflens_kubernetes_pods", "instance, state")
POD_EVENTS = rate("perflens_kubernetes_events_total", AGENT, "type")
WATCH_ERRORS = rate("perflens_kubernetes_errors_total", AGENT, "instance, reason")
UNRESOLVED = rate("perflens_kubernetes_names_unresolved_total", AGENT, "instance, of")

CELLS_USED = f"{by_probe('perflens_cells_used')} / ({by_probe('perflens_cells_capacity')} > 0)"
SERIES = present("perflens_series", "instance, metric")
SERIES_DROPPED = rate("perflens_series_dropped_total", AGENT, "instance, metric")
OWNERS = by_agent("perflens_owners")
PROCESSES = by_agent("perflens_processes")

OVERHEAD = rate("perflens_overhead_seconds_total", AGENT, "instance")
OVERHEAD_BY_OWNER = rate("perflens_overhead_seconds_total", AGENT, OWNER)
OVERHEAD_OF_EACH = compose("{} / ({} > 0)", OVERHEAD, rate("perflens_probe_operations_entered_total", AGENT, "instance"))
CPU = rate("process_cpu_seconds_total", AGENT, "instance")
ANALYZER_CPU = rate("perflens_analysis_duration_seconds_total", AGENT, "instance")
MEMORY = by_agent("process_resident_memory_bytes")
OPEN_FILES = f"{by_agent('process_open_fds')} / ({by_agent('process_max_fds')} > 0)"
SCRAPE = f"max by (instance) (scrape_duration_seconds{{{AGENT}}})"
SAMPLES = f"max by (instance) (scrape_samples_scraped{{{AGENT}}})"
COLLECTORS = f"max by (collector) (perflens_scrape_collector_duration_seconds{{{AGENT}}})"
COLLECTORS_FAILING = f"sum(1 - perflens_scrape_collector_success{{{AGENT}}})"
