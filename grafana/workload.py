"""The dashboard of workloads: namespaces, pods and containers, or the units of a host."""

from __future__ import annotations

from grafana import blocks as b
from grafana import processes as pr
from grafana import variables as v
from grafana.blocks import Requests
from grafana.board import Dashboard
from grafana.files import Files
from grafana.panels import Panel, stat
from grafana.promql import rate
from grafana.selectors import EVERY_OWNER, EVERY_OWNER_ON_ALL_NODES, LABELS, OF_OWNER, OPERATION, OWNER, TOP, top

f, d = Files(f"{EVERY_OWNER}, {OPERATION}"), Requests(EVERY_OWNER)
OVERHEAD = rate("perflens_overhead_seconds_total", EVERY_OWNER, OWNER)

ROWS: dict[str, list[Panel]] = {
    "Workload": [
        stat("Operations", "File operations a second.", "ops", f.operations()),
        stat("Slow operations", "File operations a second that took longer than the agent's threshold.", "ops", f.slow()),
        stat("Slow share", "Slow operations by all operations.", "percentunit", f.slow_ratio()),
        stat("Lost to slow operations", "Seconds lost in each second: as many threads wait all the time, on average.", "s", f.lost()),
        stat("p99", "99 % of the file operations take at most this.", "s", f.quantile(0.99)),
        stat(
            "Requests held back",
            "Requests held back at a time, on average, by a limit or for want of a request.",
            "short",
            d.present(b.HELD),
        ),
    ],
    "Owners": [
        Panel(
            "Owners",
            "All that was chosen, by how much each loses to slow operations. Which columns name an owner is a matter of `owner.level`.",
            "short",
            {
                "Lost": f.lost(OWNER),
                "Slow": f.slow(OWNER),
                "Operations": f.operations(OWNER),
                "Slow share": f.slow_ratio(OWNER),
                "p99": f.quantile(0.99, OWNER),
            },
            kind="table",
            sort_by="Lost",
            width=24,
            height=10,
            units={"Lost": "s", "Slow": "ops", "Operations": "ops", "Slow share": "percentunit", "p99": "s"},
        ),
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
        Panel("Rate by owner", f"File operations a second: the {TOP} owners with the most.", "ops", {OF_OWNER: top(f.operations(OWNER))}),
        Panel("Mean by owner", f"The mean duration, which is exact: the {TOP} largest.", "s", {OF_OWNER: top(f.mean(OWNER))}),
        Panel(
            "p99 by owner",
            f"99 % of the operations of an owner take at most this: the {TOP} largest.",
            "s",
            {OF_OWNER: top(f.quantile(0.99, OWNER))},
        ),
    ],
    "Slow operations": [
        Panel(
            "Slow share by owner",
            f"Slow operations by all operations of an owner: the {TOP} largest. The alert looks at 5 %.",
            "percentunit",
            {OF_OWNER: top(f.slow_ratio(OWNER))},
        ),
        Panel(
            "Lost to slow operations by owner",
            f"Seconds that slow operations took, a second: the {TOP} owners that wait most.",
            "s",
            {OF_OWNER: top(f.lost(OWNER))},
        ),
        Panel(
            "Oldest in flight",
            f"How long the oldest operation has been going on, of those past the agent's threshold: the {TOP} oldest.",
            "s",
            {f"{OF_OWNER} {{{{operation}}}}": top(f.oldest(f"{OWNER}, operation"))},
        ),
        Panel(
            "Waits by reason",
            "Seconds that operations were off the CPU, a second, by what they waited for. `cgroup_throttle` is a limit of their own.",
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
            width=12,
        ),
    ],
    "Disks": [
        Panel(
            "Device time by owner",
            f"Requests of an owner on a device at a time, on average: the {TOP} largest.",
            "short",
            {f"{OF_OWNER} {{{{device}}}}": top(d.present(b.ON_DEVICE, f"{OWNER}, device"))},
        ),
        Panel(
            "Held by owner",
            f"Requests of an owner that are held back at a time, on average: the {TOP} largest.",
            "short",
            {f"{OF_OWNER} {{{{device}}}}": top(d.present(b.HELD, f"{OWNER}, device"))},
        ),
        Panel("Bytes by owner", f"Bytes a second: the {TOP} owners with the most.", "Bps", {OF_OWNER: top(d.transferred(OWNER))}),
    ],
    "Processes": [
        Panel(
            "Processes begun",
            f"Processes that began, a second: the {TOP} owners with the most.",
            "cps",
            {OF_OWNER: top(pr.forked(OWNER, EVERY_OWNER))},
            width=12,
        ),
        Panel(
            "Overhead",
            f"Seconds a second that measuring took from the processes of an owner, estimated: the {TOP} largest.",
            "percentunit",
            {OF_OWNER: top(OVERHEAD)},
            width=12,
        ),
    ],
}

WORKLOAD = Dashboard(
    "Workload",
    "A namespace, workload, pod or container, or a unit of a host: how long its operations take, what they wait for, and on which disks.",
    (*v.owners(*LABELS), v.OPERATIONS, v.KIND),
    ROWS,
    alerts=EVERY_OWNER_ON_ALL_NODES,
)
