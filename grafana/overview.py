"""The panels of the overview, row by row."""

from __future__ import annotations

from grafana import health as h
from grafana import variables as v
from grafana.board import Dashboard
from grafana.files import Files
from grafana.panels import ALARM, Panel, stat
from grafana.selectors import CHOSEN, CHOSEN_OWNER, OF_OWNER, ON_ALL_NODES, OPERATION, OWNER, TOP, top

q = Files(f"{CHOSEN_OWNER}, {OPERATION}", 'fs=~"$fs"')

ROWS: dict[str, list[Panel]] = {
    "Overview": [
        stat("Agents", "Agents whose metrics arrive.", "short", h.AGENTS),
        stat("Probes not attached", "Probes that measure nothing, as the kernel did not take them.", "short", h.PROBES_NOT_ATTACHED, ALARM),
        stat("Operations", "File operations a second.", "ops", q.operations()),
        stat("Slow operations", "File operations a second that took longer than the agent's threshold.", "ops", q.slow()),
        stat("Slow share", "Slow operations by all operations, of all file systems.", "percentunit", q.slow_ratio()),
        stat("Lost to slow operations", "Seconds lost in each second: as many threads wait all the time, on average.", "s", q.lost()),
    ],
    "Operations": [
        Panel("Rate by operation", "File operations a second.", "ops", {"{{operation}}": q.operations("operation")}, stacked=True),
        Panel(
            "Latency",
            "The median and the tail of the chosen operations together. A bucket is an octave, so a value is right to a factor of two.",
            "s",
            {"p50": q.quantile(0.5), "p95": q.quantile(0.95), "p99": q.quantile(0.99)},
        ),
        Panel("p99 by operation", "99 % of the operations take at most this.", "s", {"{{operation}}": q.quantile(0.99, "operation")}),
        Panel(
            "Distribution of latencies",
            "Operations a second in each octave of durations. Two bands are a cache and a device; a band that rises is a queue.",
            "s",
            {"{{le}}": q.buckets()},
            kind="heatmap",
            width=16,
            height=10,
        ),
        Panel("p99 by file system", "99 % of the operations take at most this.", "s", {"{{fs}}": q.quantile(0.99, "fs")}, height=10),
    ],
    "Slow operations": [
        Panel(
            "Slow share by operation",
            "Slow operations by all operations, exact at the agent's threshold, of all file systems.",
            "percentunit",
            {"{{operation}}": q.slow_ratio("operation")},
        ),
        Panel(
            "Slow share by owner",
            f"Slow operations by all operations of an owner, of all file systems: the {TOP} largest. The alert looks at 5 %.",
            "percentunit",
            {OF_OWNER: top(q.slow_ratio(OWNER))},
        ),
        Panel(
            "Lost to slow operations by owner",
            f"Seconds that slow operations took, a second: the {TOP} owners that wait most.",
            "s",
            {OF_OWNER: top(q.lost(OWNER))},
        ),
    ],
    "Waits": [
        Panel(
            "Waits by reason",
            "Seconds that operations were off the CPU, a second, slow or not, by what they waited for. `runqueue` is waiting for a CPU.",
            "s",
            {"{{reason}}": q.waits("reason")},
            stacked=True,
        ),
        Panel(
            "Waits by owner",
            f"Seconds that an owner's operations were off the CPU, a second: the {TOP} largest, by what they waited for.",
            "s",
            {f"{OF_OWNER} {{{{reason}}}}": top(q.waits(f"{OWNER}, reason"))},
        ),
        Panel(
            "Oldest in flight",
            f"How long the oldest operation has been going on, of those past the agent's threshold: the {TOP} oldest. "
            "A line that rises by a second each second hangs. The alert looks at 60 s.",
            "s",
            {f"{OF_OWNER} {{{{operation}}}}": top(q.oldest(f"{OWNER}, operation"))},
        ),
    ],
    "Evidence": [
        Panel(
            "Events of slow operations",
            "Slow operations a second by what became of them as events: `emitted`, `suppressed` by their owner's rate, or lost to "
            "a full ring. All of them are in the metrics.",
            "ops",
            {"{{outcome}}": h.EVENTS},
            stacked=True,
        ),
        Panel(
            "Suppressed",
            "Slow operations a second above the rate of their owner (`events.rate`): they have no event.",
            "ops",
            {"{{instance}} {{probe}}": h.SUPPRESSED},
        ),
        Panel(
            "Not explained",
            "Events a second that are counted without stacks or a span, being more than `events.explained`.",
            "ops",
            {"{{instance}} {{probe}}": h.UNEXPLAINED},
        ),
    ],
    "Ledger": [
        Panel(
            "Outcomes of operations",
            "What became of the operations that a probe saw: `aggregated` is in the histograms under its owner, `other` without one.",
            "ops",
            {"{{probe}} {{outcome}}": h.OUTCOMES},
            width=6,
            stacked=True,
        ),
        Panel("In flight", "Operations that have begun and not ended.", "short", {"{{instance}} {{probe}}": h.IN_FLIGHT}, width=6),
        Panel(
            "Ledger gap",
            "Operations entered less all outcomes and those in flight: 0 on a quiet machine, near 0 on a busy one, and does not grow.",
            "short",
            {"{{instance}} {{probe}}": h.LEDGER_GAP},
            width=6,
            signed=True,
        ),
        Panel(
            "Missed handlers",
            "Runs of a probe that the kernel skipped, a second: at most so many operations were not seen.",
            "ops",
            {"{{instance}} {{probe}}": h.MISSED},
            width=6,
        ),
    ],
    "Capacity": [
        Panel(
            "Cells used",
            "Histogram cells in the kernel that are taken. At 100 % new owners are counted under `other`.",
            "percentunit",
            {"{{instance}} {{probe}}": h.CELLS_USED},
        ),
        Panel("Series", "Series that a metric exposes.", "short", {"{{instance}} {{metric}}": h.SERIES}),
        Panel(
            "Series dropped",
            "Series a second that a metric had no room for; they are counted under the owner `other`.",
            "cps",
            {"{{instance}} {{metric}}": h.SERIES_DROPPED},
        ),
    ],
    "Agent": [
        Panel("Probes attached", "1 when a probe measures, 0 when not.", "short", {"{{instance}} {{probe}}": h.PROBE_ATTACHED}, width=5),
        Panel(
            "CPU",
            "Share of one CPU that the agent's process uses. Its handlers run in the processes that they measure and are not in it.",
            "percentunit",
            {"{{instance}}": h.CPU},
            width=5,
        ),
        Panel("Memory", "Resident memory of the agent's process.", "bytes", {"{{instance}}": h.MEMORY}, width=5),
        Panel("Scrape", "How long Prometheus waited for the page.", "s", {"{{instance}}": h.SCRAPE}, width=5),
        Panel("Collectors", "The slowest run of each collector.", "s", {"{{collector}}": h.COLLECTORS}, width=4),
    ],
}

OVERVIEW = Dashboard(
    "Overview",
    "How long the file operations of every owner take, who waits, and whether the agents that say so can be trusted.",
    (*v.owners(*CHOSEN), v.OPERATIONS, v.FILE_SYSTEMS, v.KIND),
    ROWS,
    alerts=ON_ALL_NODES,
)
