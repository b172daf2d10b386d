"""The dashboard of one host, by its agent."""

from __future__ import annotations

from grafana import blocks as b
from grafana import health as h
from grafana import incidents as i
from grafana import processes as pr
from grafana import variables as v
from grafana.blocks import Requests
from grafana.board import Dashboard
from grafana.files import Files
from grafana.panels import ALARM, Panel, stat
from grafana.selectors import AGENT, OF_OWNER, OWNER, TOP, top

f, d = Files(AGENT), Requests(AGENT)
OLDEST = f"max by (probe, operation, {OWNER}) (perflens_oldest_in_flight_seconds{{{AGENT}}}) > 0"

ROWS: dict[str, list[Panel]] = {
    "Host": [
        stat("Open incidents", "Causes that the analyzer found and that go on.", "short", i.OPEN, ALARM),
        stat("Oldest in flight", "Age of the oldest operation that has not ended, of those past the threshold.", "s", pr.OLDEST),
        stat("Lost to slow operations", "Seconds lost in each second: as many threads wait all the time, on average.", "s", f.lost()),
        stat("Slow share", "Slow file operations by all of them.", "percentunit", f.slow_ratio()),
        stat("Requests on devices", "Requests that devices work on at a time, on average.", "short", d.present(b.ON_DEVICE)),
        stat("Processes begun", "Processes a second that began.", "cps", pr.forked()),
    ],
    "Pressure": [
        Panel(
            "Lost to slow operations by owner",
            f"Seconds that slow file operations took, a second: the {TOP} owners that wait most. 1 is one thread that always waits.",
            "s",
            {OF_OWNER: top(f.lost(OWNER))},
            stacked=True,
            width=12,
        ),
        Panel(
            "Waits by reason",
            "Seconds that operations were off the CPU, a second, slow or not, by what they waited for. `runqueue` is waiting for a CPU.",
            "s",
            {"{{reason}}": f.waits("reason")},
            stacked=True,
            width=12,
        ),
        Panel(
            "Waits by owner and reason",
            f"The same by owner: the {TOP} largest.",
            "s",
            {f"{OF_OWNER} {{{{reason}}}}": top(f.waits(f"{OWNER}, reason"))},
        ),
        Panel(
            "Slow share by owner",
            f"Slow operations by all operations of an owner: the {TOP} largest.",
            "percentunit",
            {OF_OWNER: top(f.slow_ratio(OWNER))},
        ),
        Panel(
            "p99 by owner",
            f"99 % of the file operations of an owner take at most this: the {TOP} largest.",
            "s",
            {OF_OWNER: top(f.quantile(0.99, OWNER))},
        ),
    ],
    "What is stuck": [
        Panel(
            "Operations in progress",
            "The oldest operation of each owner that is past the threshold and has not ended, now.",
            "s",
            {"Age": OLDEST},
            kind="table",
            sort_by="Age",
            width=12,
        ),
        Panel(
            "Oldest in flight by owner",
            f"The {TOP} oldest. A line that rises by a second each second hangs.",
            "s",
            {f"{OF_OWNER} {{{{operation}}}}": top(f.oldest(f"{OWNER}, operation"))},
            width=12,
        ),
    ],
    "Incidents": [
        Panel(
            "Open now",
            "What the analyzer says is wrong, and with whom.",
            "short",
            {"": i.TABLE},
            kind="table",
            sort_by="severity",
            width=12,
        ),
        Panel("Open by cause", "Incidents that were open at a time.", "short", {"{{cause}}": i.OPEN_BY_CAUSE}, stacked=True, width=12),
    ],
    "File operations": [
        Panel("Rate by operation", "File operations a second.", "ops", {"{{operation}}": f.operations("operation")}, stacked=True),
        Panel("p99 by operation", "99 % of the operations take at most this.", "s", {"{{operation}}": f.quantile(0.99, "operation")}),
        Panel(
            "Distribution of latencies",
            "File operations a second in each bucket of durations.",
            "s",
            {"{{le}}": f.buckets()},
            kind="heatmap",
            exemplars=True,
        ),
    ],
    "Disks": [
        Panel(
            "On the device",
            "Requests that a device works on at a time, on average.",
            "short",
            {"{{device}}": d.present(b.ON_DEVICE, "device")},
        ),
        Panel(
            "Device time, p99",
            "99 % of the requests are done in this.",
            "s",
            {"{{device}} {{operation}}": d.quantile(0.99, b.ON_DEVICE, "device, operation")},
        ),
        Panel(
            "Held by owner",
            f"Requests of an owner that are held back by a limit or for want of a request, at a time, on average: the {TOP} largest.",
            "short",
            {f"{OF_OWNER} {{{{device}}}}": top(d.present(b.HELD, f"{OWNER}, device"))},
        ),
    ],
    "Processes": [
        Panel(
            "Processes begun by owner",
            f"Processes that began, a second: the {TOP} owners with the most. Thousands a second are a storm.",
            "cps",
            {OF_OWNER: top(pr.forked(OWNER))},
        ),
        Panel(
            "Programs run by owner",
            f"Programs that processes became, a second: the {TOP} owners with the most.",
            "cps",
            {OF_OWNER: top(pr.executed(OWNER))},
        ),
        Panel(
            "Begun and ended",
            "Processes that began and that ended, a second. Lines that stay apart are processes that stay.",
            "cps",
            {"begun": pr.forked(), "ended": pr.exited()},
        ),
    ],
    "The agent": [
        Panel("CPU", "Share of one CPU that the agent's process uses.", "percentunit", {"{{instance}}": h.CPU}, width=6),
        Panel(
            "Overhead",
            "Seconds a second that measuring took from the processes of this host, estimated.",
            "percentunit",
            {"{{instance}}": h.OVERHEAD},
            width=6,
        ),
        Panel("Memory", "Resident memory of the agent's process.", "bytes", {"{{instance}}": h.MEMORY}, width=6),
        Panel(
            "Ledger gap",
            "Operations entered less all outcomes and those in flight: 0 on a quiet machine, and does not grow.",
            "short",
            {"{{instance}} {{probe}}": h.LEDGER_GAP},
            signed=True,
            width=6,
        ),
    ],
}

NODE = Dashboard(
    "Node",
    "One host: who waits and for what, what is stuck, what its disks and processes do, and whether its agent is well.",
    (v.KIND,),
    ROWS,
    instance=v.one_agent(),
)
