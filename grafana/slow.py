"""The dashboard of slow operations: how they are distributed, what they wait for, which have not ended."""

from __future__ import annotations

from urllib.parse import quote

from grafana import blocks as b
from grafana import health as h
from grafana import variables as v
from grafana.blocks import Requests
from grafana.board import Dashboard, link
from grafana.files import Files
from grafana.panels import Json, Panel, stat
from grafana.selectors import CHOSEN, CHOSEN_OWNER, OF_OWNER, OPERATION, OWNER, TOP, top

f = Files(f"{CHOSEN_OWNER}, {OPERATION}", 'fs=~"$fs"')
d = Requests(CHOSEN_OWNER)
TEMPO = "${tempo_datasource}"
EXEMPLARS = "A dot is one slow operation whose span a collector took; it leads to its trace."
OLDEST = f"{f.oldest(f'instance, operation, {OWNER}')} > 0"


def _traces(title: str, query: str) -> Json:
    """A link to the spans of the time that is shown. Braces and dollars stay, as Grafana puts its values there."""
    search = f'{{"refId":"A","queryType":"traceql","query":"{query}","datasource":{{"type":"tempo","uid":"{TEMPO}"}}}}'
    pane = f'{{"perflens":{{"datasource":"{TEMPO}","queries":[{search}],"range":{{"from":"${{__from}}","to":"${{__to}}"}}}}}}'
    return link(
        title,
        "Spans of slow operations.",
        type="link",
        icon="external link",
        url=f"/explore?schemaVersion=1&panes={quote(pane, safe='${}')}",
        targetBlank=True,
    )


FILE_TRACES = _traces("Traces of slow file operations", r"{ resource.service.name = \"perflens\" && name =~ \"file[.].*\" }")
BLOCK_TRACES = _traces("Traces of slow requests", r"{ resource.service.name = \"perflens\" && name =~ \"block[.].*\" }")

QUANTILES = {f"p{100 * q:g}": f.quantile(q) for q in (0.5, 0.9, 0.99, 0.999)}

ROWS: dict[str, list[Panel]] = {
    "Slow operations": [
        stat("Slow operations", "File operations a second that took longer than the agent's threshold.", "ops", f.slow()),
        stat("Slow share", "Slow operations by all operations, of all file systems.", "percentunit", f.slow_ratio()),
        stat("Lost to slow operations", "Seconds lost in each second: as many threads wait all the time, on average.", "s", f.lost()),
        stat("p99", "99 % of the file operations take at most this.", "s", f.quantile(0.99)),
        stat("Slow requests", "Requests of disks above the agent's threshold, by all.", "percentunit", d.slow_ratio()),
        stat(
            "Longest in flight",
            "Age of the oldest operation that has not ended, of those past the threshold.",
            "s",
            f"max({f.oldest('operation')}) or vector(0)",
        ),
    ],
    "Distribution": [
        Panel(
            "File operations",
            f"File operations a second in each bucket of durations. {EXEMPLARS}",
            "s",
            {"{{le}}": f.buckets()},
            kind="heatmap",
            exemplars=True,
            links=(FILE_TRACES,),
            width=12,
            height=10,
        ),
        Panel(
            "Quantiles",
            f"Durations that 50 %, 90 %, 99 % and 99.9 % of the operations do not exceed. {EXEMPLARS}",
            "s",
            QUANTILES,
            exemplars=True,
            links=(FILE_TRACES,),
            width=12,
            height=10,
        ),
        Panel(
            "Device times",
            f"Requests a second in each bucket of the time on their device, of all operations. {EXEMPLARS}",
            "s",
            {"{{le}}": d.buckets(b.ON_DEVICE)},
            kind="heatmap",
            exemplars=True,
            links=(BLOCK_TRACES,),
        ),
        Panel(
            "Queue times",
            "Requests a second in each bucket of the time in the queue of their device.",
            "s",
            {"{{le}}": d.buckets(b.QUEUE)},
            kind="heatmap",
        ),
        Panel(
            "Held times",
            "Requests a second in each bucket of the time that a limit held them back, or the want of a free request.",
            "s",
            {"{{le}}": d.buckets(b.HELD)},
            kind="heatmap",
        ),
        Panel("p99 by operation", "99 % of the operations take at most this.", "s", {"{{operation}}": f.quantile(0.99, "operation")}),
        Panel("p99 by file system", "99 % of the operations take at most this.", "s", {"{{fs}}": f.quantile(0.99, "fs")}),
        Panel(
            "p99 by owner",
            f"99 % of the operations of an owner take at most this: the {TOP} largest.",
            "s",
            {OF_OWNER: top(f.quantile(0.99, OWNER))},
        ),
    ],
    "Share": [
        Panel(
            "Slow share by operation",
            "Slow operations by all operations, exact at the agent's threshold, of all file systems.",
            "percentunit",
            {"{{operation}}": f.slow_ratio("operation")},
        ),
        Panel(
            "Slow share by owner",
            f"Slow operations by all operations of an owner: the {TOP} largest. The alert looks at 5 %.",
            "percentunit",
            {OF_OWNER: top(f.slow_ratio(OWNER))},
        ),
        Panel(
            "Slow requests by owner",
            f"Slow requests of disks by all requests of an owner: the {TOP} largest.",
            "percentunit",
            {OF_OWNER: top(d.slow_ratio(OWNER))},
        ),
    ],
    "Waits": [
        Panel(
            "Waits by reason",
            "Seconds that operations were off the CPU, a second, slow or not, by what they waited for. `runqueue` is waiting for a CPU.",
            "s",
            {"{{reason}}": f.waits("reason")},
            stacked=True,
        ),
        Panel(
            "Waits of an operation",
            "What an operation waits for on average, of all file systems; the rest of its duration it was on a CPU.",
            "s",
            {"{{operation}} {{reason}}": f.wait_of_each("operation, reason")},
        ),
        Panel(
            "Waits by owner",
            f"Seconds that an owner's operations were off the CPU, a second: the {TOP} largest, by what they waited for.",
            "s",
            {f"{OF_OWNER} {{{{reason}}}}": top(f.waits(f"{OWNER}, reason"))},
        ),
    ],
    "In flight": [
        Panel(
            "Oldest in flight",
            f"How long the oldest operation has been going on, past the agent's threshold: the {TOP} oldest. The alert looks at 60 s.",
            "s",
            {f"{OF_OWNER} {{{{operation}}}}": top(f.oldest(f"{OWNER}, operation"))},
        ),
        Panel(
            "In progress now",
            "The oldest operation of each owner that is past the threshold and has not ended.",
            "s",
            {"Age": OLDEST},
            kind="table",
            sort_by="Age",
        ),
        Panel(
            "In flight",
            "Operations that have begun and not ended, of all owners.",
            "short",
            {"{{instance}} {{probe}}": h.IN_FLIGHT},
        ),
    ],
    "Evidence": [
        Panel(
            "Events",
            "Slow operations a second by what became of them as events; those that are not `emitted` have no stacks and no span.",
            "ops",
            {"{{outcome}}": h.EVENTS},
            stacked=True,
        ),
        Panel(
            "Explained",
            "Events a second of which the stacks were named and that were offered as spans.",
            "ops",
            {"{{instance}} {{probe}}": h.EXPLAINED},
        ),
        Panel(
            "Spans",
            "Spans a second by what became of them. Without a collector there are none.",
            "ops",
            {"{{outcome}}": h.SPANS},
            stacked=True,
        ),
    ],
}

SLOW = Dashboard(
    "Slow operations",
    "How long operations take in every detail: distributions with their traces, quantiles, waits by reason, and what has not ended.",
    (*v.owners(*CHOSEN), v.OPERATIONS, v.FILE_SYSTEMS, v.KIND),
    ROWS,
    alerts=CHOSEN_OWNER,
    sources=(v.source("tempo_datasource", "Tempo data source", "tempo"),),
)
