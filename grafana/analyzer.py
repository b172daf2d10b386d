"""The dashboard of the analyzer: incidents, what it looked at, the model's answers and their price, and Grafana's annotations."""

from __future__ import annotations

from grafana import incidents as i
from grafana import variables as v
from grafana.board import Dashboard
from grafana.panels import ALARM, BAD, Panel, stat

PRICE = "In your currency, for a million tokens."

ROWS: dict[str, list[Panel]] = {
    "Incidents": [
        stat("Open incidents", "Incidents that go on.", "short", i.OPEN, ALARM),
        stat("Critical", "Those of them that are critical.", "short", i.CRITICAL, ALARM),
        stat("Opened", "Incidents that began in the time that is shown.", "short", i.OPENED),
        stat("Windows that were slow", "Windows in which operations were slow enough to ask why, by all.", "percentunit", i.IMPACT_SHARE),
        stat("Grafana", "1 when Grafana gave a proper answer last, of every agent that writes to it.", "short", i.SINK_UP, BAD),
        stat("Cost", f"Price of the model's tokens in the time that is shown. {PRICE}", "short", i.COST),
        Panel(
            "Active incidents",
            "What is wrong now, with whom, and how bad.",
            "short",
            {"": i.TABLE},
            kind="table",
            sort_by="severity",
            width=24,
        ),
        Panel("Open by cause", "Incidents that were open at a time.", "short", {"{{cause}}": i.OPEN_BY_CAUSE}, stacked=True),
        Panel("Open by agent", "The same by agent.", "short", {"{{instance}}": i.OPEN_BY_AGENT}, stacked=True),
        Panel(
            "Opened by cause",
            "Incidents that began in the time that is shown, by their first cause.",
            "short",
            {"Opened": i.OPENED_BY_CAUSE},
            kind="table",
            sort_by="Opened",
            units={"Opened": "short"},
        ),
    ],
    "Analyzer": [
        Panel(
            "Windows", "Windows a second that the analyzer looked at: one each ten seconds.", "ops", {"{{instance}}": i.WINDOWS}, width=6
        ),
        Panel(
            "Slow windows",
            "Windows in which operations were slow enough to ask why, a second.",
            "ops",
            {"{{instance}}": i.IMPACTS},
            width=6,
        ),
        Panel("Time of a window", "What a window takes of the agent's CPU, on average.", "s", {"{{instance}}": i.WINDOW_DURATION}, width=6),
        Panel(
            "Failures",
            "Windows that could not be looked at, and incidents that could not be written to the state file, a second.",
            "ops",
            {"{{instance}} windows": i.FAILURES, "{{instance}} state": i.UNWRITTEN},
            width=6,
        ),
    ],
    "Model": [
        Panel(
            "Questions by outcome",
            "Questions to the model a second. `ok`, `repaired` and `skipped_cache` gave an answer that was used; else the rules answered.",
            "ops",
            {"{{outcome}}": i.REQUESTS},
            stacked=True,
        ),
        Panel(
            "Sentences by result",
            "Sentences of the model a second that were kept, or dropped and why.",
            "ops",
            {"{{result}}": i.CLAIMS},
            stacked=True,
        ),
        Panel("Time of an answer", "How long a question takes on average, with what is tried again.", "s", {"{{instance}}": i.LATENCY}),
        Panel("Tokens", "Tokens a second that the model's server reported.", "cps", {"{{direction}}": i.TOKENS}, stacked=True),
        Panel("Cost of a day", f"What the present rate costs in a day. {PRICE}", "short", {"cost": i.COST_OF_A_DAY}),
        Panel("Budget", "Tokens left of the day's budget.", "short", {"{{instance}}": i.BUDGET}),
        Panel("Breaker", "1 while the model is not asked because it failed.", "short", {"{{instance}}": i.BREAKER}),
        Panel(
            "Disagreements",
            "Answers a second that prefer another cause than the rules; what is told is what the rules say.",
            "ops",
            {"{{instance}}": i.DISAGREEMENTS},
        ),
        Panel("Without usage", "Answers a second whose server told no tokens.", "ops", {"{{instance}}": i.USAGE_MISSING}),
    ],
    "Sinks": [
        Panel(
            "Sinks answer",
            "1 when Grafana, or the collector of logs, gave a proper answer last.",
            "short",
            {"{{instance}} {{sink}}": i.SINK_UP},
            width=6,
        ),
        Panel(
            "Pending",
            "Incidents of which a sink has not been told everything yet.",
            "short",
            {"{{instance}} {{sink}}": i.SINK_PENDING},
            width=6,
        ),
        Panel(
            "Told",
            "Annotations and log records a second that were taken, by what was done.",
            "ops",
            {"{{sink}} {{operation}}": i.DELIVERED},
            width=6,
        ),
        Panel(
            "Failed and dropped",
            "Requests a second that failed, and incidents that a sink will not show, by reason.",
            "ops",
            {"{{sink}} failed {{reason}}": i.FAILED, "{{sink}} dropped {{reason}}": i.DROPPED},
            width=6,
        ),
    ],
}

ANALYZER = Dashboard(
    "Analyzer",
    "What the analyzer found and told: open incidents and their causes, the model's answers and their price, and Grafana's annotations.",
    (
        v.number("price_input", "Price of input", f"Of what the model reads. {PRICE}", "0.1"),
        v.number("price_output", "Price of output", f"Of what the model writes. {PRICE}", "0.4"),
    ),
    ROWS,
)
