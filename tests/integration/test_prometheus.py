"""A real Prometheus scrapes a real agent: the page, the dashboards and the alerts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.integration.collectors import Place, free_ports
from tests.kernel.faults import busy, loop_device, slow_disk, stacked_device
from tests.servers import RULES, Prometheus, running_agent, running_prometheus, wait_for
from tests.throttle import Group, disk_of

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
Throttled = Callable[[], AbstractContextManager[Group]]
Kind = Literal["classic", "native"]

RATE_INTERVAL = "15s"
MATCHERS: dict[Kind, str] = {"classic": 'instance=~"$histograms"', "native": 'instance!~"$histograms"'}

# Metrics that an agent has in no ordinary trouble, and the tests in which it has them.
EXCEPTIONS = {
    "perflens_block_layer_duration_seconds": "test_dashboards_show_layers",
    "perflens_spans_total": "test_dashboards_show_spans",
    "perflens_sink_dropped_total": "test_alertmanager.py: an incident that Grafana refuses",
    "perflens_kubernetes_": "where the agent watches the pods of a cluster",
}


def everything(expression: str, variables: list[dict[str, Any]], kind: Kind) -> str:
    """A query with all values of every variable chosen, of one kind of histograms."""
    expression = expression.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", "1m")
    for variable in variables:
        if variable["type"] == "textbox":
            expression = expression.replace(f"${variable['name']}", variable["query"])
            continue
        options = {option["text"]: option["value"] for option in variable.get("options", [])}
        chosen = options.get(kind, variable.get("allValue") or ".+")
        expression = expression.replace(f'"${variable["name"]}"', f'"{chosen}"')
    return expression


def queries(kind: Kind, only: str = "", names: str = "*", switched_off: bool = False) -> dict[str, str]:
    """Every query of the dashboards by the titles of dashboard and panel: those of one metric, or those without an exception.

    Those of the other kind of histograms are left out, or, if ``switched_off``, are the ones that are wanted.
    """
    found = {}
    other = MATCHERS["native" if kind == "classic" else "classic"]
    for path in DASHBOARDS.glob(f"perflens-{names}.json"):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                name, text = f"{dashboard['title']}: {panel['title']} {target['refId']}", target["expr"]
                is_wanted = only in text if only else not any(metric in text for metric in EXCEPTIONS)
                if is_wanted and (other in text) == switched_off:
                    found[name] = everything(text, dashboard["templating"]["list"], kind)
    assert found
    return found


def recorded(kind: Kind) -> dict[str, str]:
    """The recorded series: of units those of no workload, and of each kind of histograms its own sums of a fleet."""
    names = re.findall(r"- record: (\S+)", RULES.read_text())
    assert names
    unwanted = r"^workload_|_duration_seconds:sum" if kind == "classic" else "_le:"
    return {name: name for name in names if not re.search(unwanted, name)}


def alerted() -> dict[str, str]:
    """A question for each metric that an alert names."""
    alerts = re.findall(r"- alert: .*?annotations:", RULES.read_text(), re.DOTALL)
    metrics = {metric for alert in alerts for metric in re.findall(r"(?<![\w:])(?:perflens|process|scrape)_[a-z_]+(?![\w:])", alert)}
    assert metrics
    return {metric: f"count({metric})" for metric in metrics if not any(metric.startswith(each) for each in EXCEPTIONS)}


@contextmanager
def loop_at_work(folder: Path) -> Iterator[None]:
    """A loop device that is read and written."""
    image = folder / "image"
    image.write_bytes(bytes(16 << 20))
    with loop_device(image) as device, busy(device):
        yield


def test_page_passes_the_linter(agent: str, promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """promtool check metrics has nothing to say about the agent's page."""
    with urllib.request.urlopen(agent, timeout=10) as answer:
        done = promtool("check", "metrics", input=answer.read().decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_target_is_up(prometheus: Prometheus) -> None:
    """Prometheus takes the agent's page."""
    wait_for(lambda: prometheus.query('up{job="perflens"} == 1'), 20, "the agent is scraped")


def assert_data(prometheus: Prometheus, missing: dict[str, str], seconds: float = 30) -> None:
    """Every query has data within some time; those that had it once need not have it at the same time."""

    def nothing_is_missing() -> bool:
        for title in [title for title, expression in missing.items() if prometheus.query(expression)]:
            del missing[title]
        return not missing

    try:
        wait_for(nothing_is_missing, seconds, "data for every query", interval=1)
    except pytest.fail.Exception as failure:
        pytest.fail(f"{failure}: " + "\n".join(f"{title}: {expression}" for title, expression in missing.items()))


def assert_no_data(prometheus: Prometheus, asked: dict[str, str]) -> None:
    """No query has data."""
    assert [title for title, expression in asked.items() if prometheus.query(expression)] == []


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_dashboards_and_rules_have_data(
    prometheus: Prometheus, prometheus_of_pods: Prometheus, throttled: Throttled, tmp_path: Path
) -> None:
    """Every query of a dashboard, every recorded series and every metric of an alert has data when the machine does something slow.

    Of units with classic histograms, and of pods with native ones; what is asked of the other kind has none.
    """
    with throttled(), loop_at_work(tmp_path):
        assert_data(prometheus, {**queries("classic"), **recorded("classic"), **alerted()}, 150)
        assert_data(prometheus_of_pods, {**queries("native"), **recorded("native"), **alerted()}, 60)
        assert_no_data(prometheus, queries("classic", switched_off=True))
        assert_no_data(prometheus_of_pods, queries("native", switched_off=True))
        assert not prometheus_of_pods.query('{unit!=""}')


def test_dashboards_show_layers(prometheus: Prometheus, prometheus_of_pods: Prometheus) -> None:
    """The queries of stacked devices have data when there is one."""
    layer = "perflens_block_layer_duration_seconds"
    with stacked_device() as device, busy(device):
        assert_data(prometheus, queries("classic", layer))
        assert_data(prometheus_of_pods, queries("native", layer))


def test_dashboards_show_spans(prometheus_binaries: Path, tmp_path: Path, collector_binary: str, throttled: Throttled) -> None:
    """The queries of spans have data when there is a collector."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    place = Place(collector_binary, tmp_path, free_ports())
    otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": place.url("http/protobuf"), "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with (
        place.collector(),
        running_agent(tmp_path, environment=otlp) as url,
        running_prometheus(prometheus_binaries, tmp_path, url) as prometheus,
        throttled(),
    ):
        assert_data(prometheus, queries("classic", "perflens_spans_total"))


def test_dashboards_do_without_owners(prometheus_binaries: Path, tmp_path: Path, throttled: Throttled) -> None:
    """The queries about owners have data from an agent that tells no owners apart, and whose series have no label for them."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    with (
        running_agent(tmp_path, "--owner.level=node") as url,
        running_prometheus(prometheus_binaries, tmp_path, url) as prometheus,
        throttled(),
        loop_at_work(tmp_path),
    ):
        for name in ("overview", "workload", "devices"):
            assert_data(prometheus, queries("classic", names=name))
        assert not prometheus.query('perflens_file_operation_duration_seconds_count{unit!=""}')


@pytest.mark.components
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_slow_writes_are_alerted(prometheus: Prometheus, throttled: Throttled, tmp_path: Path) -> None:
    """The alerts of slow file operations and of a slow device begin and end: one with throttled writes of an owner, one with a device.

    The throttled requests are held back, an alert that this test is too short for, and take no longer on their own device.
    """
    throttled_disk = Path(f"/sys/dev/block/{disk_of(tmp_path)}").resolve().name

    def states(name: str, **labels: str) -> set[str]:
        """The states of the alerts of a name of which these labels end so."""
        return {
            alert["state"]
            for alert in prometheus.alerts(name)
            if all(alert["labels"].get(label, "").endswith(end) for label, end in labels.items())
        }

    def wait_for_states(wanted: set[str], seconds: float) -> None:
        for name, labels in watched.items():
            wait_for(partial(lambda n, own: states(n, **own) == wanted, name, labels), seconds, f"{name} is {wanted or 'over'}", interval=1)

    with throttled() as group, slow_disk(tmp_path) as disk:
        watched = {"PerfLensSlowFileOperations": {"unit": group.name}, "PerfLensSlowDevice": {"device": disk.device.name}}
        disk.delays.set(write=0.25)
        with busy(disk.device):
            assert all(states(name, **labels) <= {"pending"} for name, labels in watched.items())
            wait_for_states({"firing"}, 120)
            assert states("PerfLensRequestsHeld", unit=group.name, device=throttled_disk) == {"pending"}
            assert not states("PerfLensRequestsHeld", device=disk.device.name)
    wait_for_states(set(), 240)
