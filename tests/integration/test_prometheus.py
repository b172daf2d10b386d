"""A real Prometheus scrapes a real agent: the page, the dashboards and the alerts."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Prometheus, running_agent, running_prometheus, wait_for
from tests.throttle import Group

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
Throttled = Callable[[], AbstractContextManager[Group]]

RATE_INTERVAL = "15s"


def everything(expression: str, variables: list[dict[str, Any]]) -> str:
    """A query with all values of every variable chosen."""
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    for variable in variables:
        expression = expression.replace(f'"${variable["name"]}"', f'"{variable.get("allValue")}"')
    return expression


def queries() -> dict[str, str]:
    """Every query of every dashboard, by the title of its panel."""
    found = {}
    for path in DASHBOARDS.glob("*.json"):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                found[f"{panel['title']} {target['refId']}"] = everything(target["expr"], dashboard["templating"]["list"])
    return found


def test_page_passes_the_linter(agent: str, promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """promtool check metrics has nothing to say about the agent's page."""
    with urllib.request.urlopen(agent, timeout=10) as answer:
        done = promtool("check", "metrics", input=answer.read().decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_target_is_up(prometheus: Prometheus) -> None:
    """Prometheus takes the agent's page."""
    wait_for(lambda: prometheus.query('up{job="perflens"} == 1'), 20, "the agent is scraped")


def assert_dashboards_show_data(prometheus: Prometheus) -> None:
    """Every query has data within half a minute; those that had it once need not have it at the same time."""
    missing = queries()

    def nothing_is_missing() -> bool:
        for title in [title for title, expression in missing.items() if prometheus.query(expression)]:
            del missing[title]
        return not missing

    try:
        wait_for(nothing_is_missing, 30, "data for every query", interval=1)
    except pytest.fail.Exception as failure:
        pytest.fail(f"{failure}: " + "\n".join(f"{title}: {expression}" for title, expression in missing.items()))


def test_dashboards_show_data(prometheus: Prometheus, throttled: Throttled) -> None:
    """Every query of a dashboard has data when the machine does something slow."""
    with throttled():
        assert_dashboards_show_data(prometheus)


def test_dashboards_do_without_owners(prometheus_binaries: Path, tmp_path: Path, throttled: Throttled) -> None:
    """Every query of a dashboard has data from an agent that tells no owners apart, and whose series have no label for them."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    with (
        running_agent(tmp_path, "--owner.level=node") as url,
        running_prometheus(prometheus_binaries, tmp_path, url) as prometheus,
        throttled(),
    ):
        assert_dashboards_show_data(prometheus)
        assert not prometheus.query('perflens_file_operation_duration_seconds_count{unit!=""}')


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_slow_writes_are_alerted(prometheus: Prometheus, throttled: Throttled) -> None:
    """The alert of slow file operations begins and ends with throttled writes of one owner."""

    def states(name: str) -> set[str]:
        return {
            alert["state"] for alert in prometheus.alerts("PerfLensSlowFileOperations") if alert["labels"].get("unit", "").endswith(name)
        }

    with throttled() as group:
        assert states(group.name) <= {"pending"}
        wait_for(lambda: states(group.name) == {"firing"}, 120, f"the alert fires for {group.name}", interval=1)
    wait_for(lambda: not states(group.name), 240, f"the alert ends for {group.name}", interval=1)
