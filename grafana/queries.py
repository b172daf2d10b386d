"""Every query of the dashboards: the selectors once, and a name for each question that a panel asks."""

from __future__ import annotations

OWNER = "unit"  # With --owner.level=node the label does not exist, and a sum by it is one series.
TOP = 10  # Owners that a panel shows.

AGENT = 'job=~"$job", instance=~"$instance"'
# All owners are `.*`, which matches a label that is missing; `.+` would not.
OWNED = f'{AGENT}, operation=~"$operation", {OWNER}=~"${OWNER}"'
FILE = f'{OWNED}, fs=~"$fs"'
SLOW = f'{OWNED}, probe="file"'

DURATION = "perflens_file_operation_duration_seconds"


def rate(metric: str, selector: str, by: str = "") -> str:
    """What a counter grows by in a second, in sum or by labels."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{{{selector}}}[$__rate_interval]))"


def operations(by: str = "") -> str:
    """Operations a second."""
    return rate(f"{DURATION}_count", FILE, by)


def slow(by: str = "") -> str:
    """Slow operations a second; of all file systems, which their counter does not tell apart."""
    return rate("perflens_slow_operations_total", SLOW, by)


def lost(by: str = "") -> str:
    """Seconds that slow operations took, a second."""
    return rate("perflens_slow_operation_seconds_total", SLOW, by)


def slow_ratio(by: str = "") -> str:
    """The share of operations that are slow: 0 where none was, nothing where there was no operation. Both sides span all file systems."""
    every = rate(f"{DURATION}_count", OWNED, by)
    return f"({slow(by)} or 0 * {every}) / ({every} > 0)"


def quantile(q: float, by: str = "") -> str:
    """The duration that a share q of the operations did not exceed."""
    return f"histogram_quantile({q}, {rate(f'{DURATION}_bucket', FILE, f'{by}, le' if by else 'le')})"


def top(query: str) -> str:
    """The owners with the largest values."""
    return f"topk({TOP}, {query})"


def by_probe(metric: str) -> str:
    """A gauge of each probe of each agent, or the present value of a counter."""
    return f"sum by (instance, probe) ({metric}{{{AGENT}}})"


def waits(by: str) -> str:
    """Seconds that operations were off the CPU, a second, slow or not."""
    return rate("perflens_operation_wait_seconds_total", SLOW, by)


def oldest(by: str) -> str:
    """For how long the oldest operation has been in flight, of those past the agent's threshold."""
    return f"max by ({by}) (perflens_oldest_in_flight_seconds{{{SLOW}}})"


AGENTS = f"count(perflens_build_info{{{AGENT}}})"
PROBES_NOT_ATTACHED = f"sum(1 - perflens_probe_attached{{{AGENT}}})"
PROBE_ATTACHED = by_probe("perflens_probe_attached")

BUCKETS = rate(f"{DURATION}_bucket", FILE, "le")

OUTCOMES = rate("perflens_probe_operations_total", AGENT, "probe, outcome")
IN_FLIGHT = by_probe("perflens_probe_operations_in_flight")
LEDGER_GAP = (
    f"{by_probe('perflens_probe_operations_entered_total')} - {by_probe('perflens_probe_operations_total')}"
    f" - {by_probe('perflens_probe_operations_in_flight')}"
)
EVENTS = rate("perflens_slow_events_total", AGENT, "outcome")
SUPPRESSED = rate("perflens_slow_events_total", f'{AGENT}, outcome="suppressed"', "instance, probe")
UNEXPLAINED = rate("perflens_slow_events_unexplained_total", AGENT, "instance, probe")

MISSED = rate("perflens_probe_missed_total", AGENT, "instance, probe")

CELLS_USED = f"{by_probe('perflens_cells_used')} / ({by_probe('perflens_cells_capacity')} > 0)"
SERIES = f"sum by (instance, metric) (perflens_series{{{AGENT}}})"
SERIES_DROPPED = rate("perflens_series_dropped_total", AGENT, "instance, metric")

CPU = rate("process_cpu_seconds_total", AGENT, "instance")
MEMORY = f"sum by (instance) (process_resident_memory_bytes{{{AGENT}}})"
SCRAPE = f"max by (instance) (scrape_duration_seconds{{{AGENT}}})"
COLLECTORS = f"max by (collector) (perflens_scrape_collector_duration_seconds{{{AGENT}}})"

FIRING = f'ALERTS{{{AGENT}, alertname=~"PerfLens.+", alertstate="firing"}}'


def label_values(metric: str, label: str) -> str:
    """The values of a label that a variable offers."""
    return f"label_values({metric}, {label})"


JOBS = label_values("perflens_build_info", "job")
INSTANCES = label_values('perflens_build_info{job=~"$job"}', "instance")
OPERATIONS = label_values(f"{DURATION}_count{{{AGENT}}}", "operation")
FILE_SYSTEMS = label_values(f"{DURATION}_count{{{AGENT}}}", "fs")
OWNERS = label_values(f"{DURATION}_count{{{AGENT}}}", OWNER)
