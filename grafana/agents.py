"""The dashboard of PerfLens itself: nothing is lost in silence, and nothing costs more than it may."""

from __future__ import annotations

from grafana import health as h
from grafana import incidents as i
from grafana.board import Dashboard
from grafana.panels import ALARM, Panel, stat
from grafana.selectors import OF_OWNER, TOP, top

BOTH = "{{instance}} {{probe}}"

ROWS: dict[str, list[Panel]] = {
    "Agents": [
        stat("Agents", "Agents whose metrics arrive.", "short", h.AGENTS),
        stat("Probes not attached", "Probes that measure nothing, as the kernel did not take them.", "short", h.PROBES_NOT_ATTACHED, ALARM),
        stat("Collectors failing", "Parts of the agents' pages that are missing or old.", "short", h.COLLECTORS_FAILING, ALARM),
        stat("Reloads refused", "Agents that refused their configuration and run with the one before.", "short", h.RELOAD_FAILED, ALARM),
        stat("CPU", "Share of one CPU of all agents.", "percentunit", f"sum({h.CPU})"),
        stat("Overhead", "Seconds a second that measuring took from all processes.", "percentunit", f"sum({h.OVERHEAD})"),
    ],
    "Ledgers": [
        Panel(
            "Operations",
            "Operations entered less all outcomes and those in flight: 0 on a quiet machine, near 0 on a busy one, and does not grow.",
            "short",
            {BOTH: h.LEDGER_GAP},
            signed=True,
        ),
        Panel(
            "Events in the ring",
            "Events emitted less those read: what waits in the ring. 0 on a quiet machine, and does not grow.",
            "short",
            {BOTH: h.IN_RING, "{{instance}} processes": h.PROCESSES_IN_RING},
            signed=True,
        ),
        Panel(
            "Events on the way",
            "Events read less those explained, unexplained and undecodable: what is being explained. 0 on a quiet machine.",
            "short",
            {BOTH: h.ON_THE_WAY},
            signed=True,
        ),
        Panel(
            "Outcomes of operations",
            "What became of the operations that a probe saw: `aggregated` is in the histograms under its owner, `other` without one.",
            "ops",
            {"{{probe}} {{outcome}}": h.OUTCOMES},
            stacked=True,
        ),
        Panel(
            "Outcomes of events",
            "What became of slow operations as events: `emitted`, `suppressed` by their owner's rate, or lost.",
            "ops",
            {"{{outcome}}": h.EVENTS},
            stacked=True,
        ),
        Panel(
            "Spans on the way",
            "Spans made less those sent, rejected, failed and in the queue: a batch under way. Without a collector there are none.",
            "short",
            {"{{instance}}": h.SPANS_ON_THE_WAY},
            signed=True,
        ),
    ],
    "Lost": [
        Panel(
            "Missed",
            "Runs of a probe that the kernel skipped, a second: at most so many operations were not seen.",
            "ops",
            {BOTH: h.MISSED},
        ),
        Panel(
            "Missed by program",
            "The same by program and why.",
            "ops",
            {"{{program}} {{reason}}": h.MISSED_BY_PROGRAM},
        ),
        Panel(
            "Events lost",
            "Slow operations and processes a second of which the ring had no room to tell. All of them are in the metrics.",
            "ops",
            {BOTH: h.LOST_EVENTS, "{{instance}} processes": h.LOST_PROCESSES},
        ),
        Panel(
            "Events not explained",
            "Events a second that are counted without stacks or a span: above `events.explained`, above their owner's rate, or not laid "
            "out as declared.",
            "ops",
            {f"{BOTH} unexplained": h.UNEXPLAINED, f"{BOTH} suppressed": h.SUPPRESSED, f"{BOTH} undecodable": h.UNDECODABLE},
        ),
        Panel(
            "Owners lost",
            "Operations a second without a cell, series a second above their limit, and owners whose name is not whole.",
            "cps",
            {
                f"{BOTH} no cell": h.NO_CELL,
                "{{instance}} {{metric}} dropped": h.SERIES_DROPPED,
                "{{instance}} unnamed": h.UNNAMED,
                "{{instance}} cut": h.NAMES_CUT,
            },
        ),
        Panel(
            "Time without a reason",
            "Seconds off the CPU, a second, of which a switch or wake-up was missed.",
            "s",
            {f"{BOTH} unattributed": h.UNATTRIBUTED},
        ),
        Panel("Sleeps not noted", "Sleeps a second whose reason is lost.", "cps", {f"{BOTH} not noted": h.NOT_NOTED}),
        Panel("Evicted", "What a table of the last minutes gave up before its time, a second.", "cps", {"{{table}}": h.EVICTED}),
        Panel(
            "Frames of stacks",
            "Frames of user stacks a second with a function's name, and without.",
            "cps",
            {"{{outcome}}": h.FRAMES},
            stacked=True,
        ),
        Panel(
            "Symbol helper",
            "Restarts of the process that reads symbols, and requests that it did not answer in time, a second.",
            "cps",
            {"{{instance}} restarts": h.HELPER_RESTARTS, "{{instance}} timeouts": h.HELPER_TIMEOUTS},
        ),
    ],
    "Cost": [
        Panel(
            "Overhead by agent",
            "Seconds a second that measuring took from the processes of a host: the cost of a read, measured at the start, for each of "
            "their operations.",
            "percentunit",
            {"{{instance}}": h.OVERHEAD},
        ),
        Panel(
            "Overhead by owner",
            f"The same by owner: the {TOP} largest.",
            "percentunit",
            {OF_OWNER: top(h.OVERHEAD_BY_OWNER)},
        ),
        Panel("Overhead of an operation", "The same for each operation that was seen.", "s", {"{{instance}}": h.OVERHEAD_OF_EACH}),
        Panel(
            "CPU by agent",
            "Share of one CPU that an agent's process uses. Its handlers run in the processes that they measure and are not in it.",
            "percentunit",
            {"{{instance}}": h.CPU},
        ),
        Panel("CPU of the analyzer", "Of that, what the analyzer takes.", "percentunit", {"{{instance}}": h.ANALYZER_CPU}),
        Panel("Memory", "Resident memory of an agent's process.", "bytes", {"{{instance}}": h.MEMORY}),
    ],
    "Scrapes": [
        Panel("Scrape", "How long Prometheus waited for the page.", "s", {"{{instance}}": h.SCRAPE}),
        Panel("Samples", "Samples of a page.", "short", {"{{instance}}": h.SAMPLES}),
        Panel("Collectors", "The slowest run of each collector.", "s", {"{{collector}}": h.COLLECTORS}),
    ],
    "Queues and tables": [
        Panel("In flight", "Operations that have begun and not ended.", "short", {BOTH: h.IN_FLIGHT, f"{BOTH} unlisted": h.UNLISTED}),
        Panel(
            "Cells used",
            "Histogram cells in the kernel that are taken. At 100 % new owners are counted under `other`.",
            "percentunit",
            {BOTH: h.CELLS_USED},
        ),
        Panel("Series", "Series that a metric exposes.", "short", {"{{instance}} {{metric}}": h.SERIES}),
        Panel(
            "Owners and processes",
            "Owners whose name is kept, and processes in the table.",
            "short",
            {"{{instance}} owners": h.OWNERS, "{{instance}} processes": h.PROCESSES},
        ),
        Panel("Spans in the queue", "Spans that wait to be sent.", "short", {"{{instance}}": h.SPANS_IN_QUEUE}),
        Panel("Open files", "Open file descriptors by those that the agent may have.", "percentunit", {"{{instance}}": h.OPEN_FILES}),
    ],
    "Sinks": [
        Panel(
            "Spans",
            "Spans a second by what became of them. Without a collector there are none.",
            "ops",
            {"{{outcome}}": h.SPANS},
            stacked=True,
        ),
        Panel(
            "Grafana",
            "Requests a second that failed, and incidents that it will not show. Without `grafana.url` there are none.",
            "ops",
            {"failed {{reason}}": i.FAILED, "dropped {{reason}}": i.DROPPED},
        ),
        Panel(
            "Model", "Questions to the model a second. Without a token there are none.", "ops", {"{{outcome}}": i.REQUESTS}, stacked=True
        ),
    ],
    "Kubernetes": [
        Panel(
            "Pods watched",
            "1 while the pods of an agent's node are watched. Outside of a cluster there are none.",
            "short",
            {"{{instance}}": h.WATCHED},
            width=6,
        ),
        Panel(
            "Pods known",
            "Pods whose names are known, and those that are gone and remembered.",
            "short",
            {"{{instance}} {{state}}": h.PODS},
            width=6,
        ),
        Panel("Changes of pods", "Changes a second that the API server told.", "ops", {"{{type}}": h.POD_EVENTS}, width=6),
        Panel(
            "Watch errors",
            "Requests to the API server a second that failed, and owners whose series carry an id, as their name did not come in time.",
            "ops",
            {"{{instance}} {{reason}}": h.WATCH_ERRORS, "{{instance}} unresolved {{of}}": h.UNRESOLVED},
            width=6,
        ),
    ],
    "What they are": [
        Panel("Versions", "How many agents run which version.", "short", {"Agents": h.VERSIONS}, kind="table", sort_by="Agents", width=12),
        Panel("Mechanisms", "How each probe is attached.", "short", {"": h.MECHANISMS}, kind="table", width=12),
    ],
}

AGENTS = Dashboard(
    "Agents",
    "PerfLens itself: whether its ledgers close, what it loses, what it costs, and how full its tables and queues are.",
    (),
    ROWS,
)
