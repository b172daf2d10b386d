"""A real Prometheus scrapes a real agent: the page, the dashboards and the alerts."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.faults import busy, loop_device, slow_disk, stacked_device
from tests.servers import Prometheus, running_agent, running_prometheus, wait_for
from tests.throttle import Group, disk_of

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
Throttled = Callable[[], AbstractContextManager[Group]]

RATE_INTERVAL = "15s"


def everything(expression: str, variables: list[dict[str, Any]]) -> str:
    """A query with all values of every variable chosen."""
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    for variable in variables:
        expression = expression.replace(f'"${variable["name"]}"', f'"{variable.get("allValue")}"')
    return expression


def queries(is_layer: bool) -> dict[str, str]:
    """Every query of every dashboard by the titles of the dashboard and the panel: those of stacked devices, or all others."""
    found = {}
    for path in DASHBOARDS.glob("*.json"):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                name = f"{dashboard['title']}: {panel['title']} {target['refId']}"
                if ("perflens_block_layer_duration_seconds" in target["expr"]) == is_layer:
                    found[name] = everything(target["expr"], dashboard["templating"]["list"])
    assert found
    return found


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


def assert_dashboards_show_data(prometheus: Prometheus, is_layer: bool = False) -> None:
    """Every query has data within half a minute; those that had it once need not have it at the same time."""
    missing = queries(is_layer)

    def nothing_is_missing() -> bool:
        for title in [title for title, expression in missing.items() if prometheus.query(expression)]:
            del missing[title]
        return not missing

    try:
        wait_for(nothing_is_missing, 30, "data for every query", interval=1)
    except pytest.fail.Exception as failure:
        pytest.fail(f"{failure}: " + "\n".join(f"{title}: {expression}" for title, expression in missing.items()))


def test_dashboards_show_data(prometheus: Prometheus, throttled: Throttled, tmp_path: Path) -> None:
    """Every query of a dashboard has data when the machine does something slow, and a device is at work."""
    with throttled(), loop_at_work(tmp_path):
        assert_dashboards_show_data(prometheus)


def test_dashboards_show_layers(prometheus: Prometheus) -> None:
    """The queries of stacked devices have data when there is one."""
    with stacked_device() as device, busy(device):
        assert_dashboards_show_data(prometheus, is_layer=True)


def test_dashboards_do_without_owners(prometheus_binaries: Path, tmp_path: Path, throttled: Throttled) -> None:
    """Every query of a dashboard has data from an agent that tells no owners apart, and whose series have no label for them."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    with (
        running_agent(tmp_path, "--owner.level=node") as url,
        running_prometheus(prometheus_binaries, tmp_path, url) as prometheus,
        throttled(),
        loop_at_work(tmp_path),
    ):
        assert_dashboards_show_data(prometheus)
        assert not prometheus.query('perflens_file_operation_duration_seconds_count{unit!=""}')


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
