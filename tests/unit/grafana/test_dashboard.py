"""The dashboards keep the rules of Grafana's dashboard-linter, and ask for nothing that nobody exposes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from perflens.model import octave_bounds

GRAFANA = Path(__file__).resolve().parents[3] / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
UNITS = {"short", "ops", "cps", "iops", "percentunit", "s", "bytes", "Bps"}
VALUE_OF = re.compile(r"label_values\((.+), \w+\)$")

HISTOGRAMS = {f"perflens_block_{part}_duration_seconds" for part in ("held", "queue", "device", "layer")}
HISTOGRAMS |= {"perflens_file_operation_duration_seconds"}

# What an agent exposes, and `scrape_duration_seconds` and `ALERTS`, which Prometheus adds.
KNOWN_METRICS = {
    *HISTOGRAMS,
    "perflens_block_bytes_total",
    "perflens_block_device_info",
    "perflens_block_device_below_info",
    "perflens_block_device_mount_info",
    "perflens_slow_operations_total",
    "perflens_slow_operation_seconds_total",
    "perflens_operation_wait_seconds_total",
    "perflens_oldest_in_flight_seconds",
    "perflens_slow_events_total",
    "perflens_slow_events_unexplained_total",
    "perflens_probe_attached",
    "perflens_probe_info",
    "perflens_probe_operations_entered_total",
    "perflens_probe_operations_total",
    "perflens_probe_operations_in_flight",
    "perflens_probe_missed_total",
    "perflens_probe_requests_attributed_total",
    "perflens_probe_requeued_total",
    "perflens_probe_held_unknown_total",
    "perflens_series",
    "perflens_series_dropped_total",
    "perflens_cells_used",
    "perflens_cells_capacity",
    "perflens_build_info",
    "perflens_scrape_collector_duration_seconds",
    "perflens_scrape_collector_success",
    "perflens_config_last_reload_successful",
    "perflens_config_last_reload_success_timestamp_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "scrape_duration_seconds",
    "up",
    "ALERTS",
}


@pytest.fixture(scope="module", params=DASHBOARDS, ids=lambda path: str(path.stem))
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(request.param.read_text())
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def selectors(expression: str) -> list[tuple[str, str]]:
    """The metric and the matchers of every vector selector of an expression."""
    return re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression)


def metrics(expression: str) -> set[str]:
    """Every metric that an expression names, its matchers or not: what is left when functions, labels and numbers are gone."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w.:])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)
    return set(words) - {"sum", "and", "or", "unless", "offset", "max", "topk", "count"}


def family(metric: str) -> str:
    base = re.sub(r"_(bucket|count|sum)$", "", metric)
    return base if base in HISTOGRAMS else metric


def excluded(rule: str, dashboard: dict[str, Any], panel: str) -> bool:
    rules = yaml.safe_load((GRAFANA / "dashboards" / ".lint").read_text())["exclusions"]
    return {"dashboard": dashboard["title"], "panel": panel} in rules.get(rule, {"entries": []})["entries"]


def test_generated_dashboards_are_committed() -> None:
    """Building the dashboards again changes nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "grafana.build", "--check"], cwd=GRAFANA.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_model(dashboard: dict[str, Any]) -> None:
    """A dashboard has the classic model, a uid of its own, and cannot be edited in place."""
    assert 39 <= dashboard["schemaVersion"] <= 42
    assert dashboard["uid"].startswith("perflens-")
    assert dashboard["editable"] is False
    assert "id" not in dashboard
    assert "perflens" in dashboard["tags"]


def test_dashboards_lead_to_each_other(dashboard: dict[str, Any]) -> None:
    """A dashboard links to all that have the tag, and takes what was chosen along."""
    (others,) = (link for link in dashboard["links"] if link["type"] == "dashboards")
    assert (others["tags"], others["includeVars"], others["keepTime"]) == (["perflens"], True, True)
    assert len(DASHBOARDS) > 1


def test_datasource_is_a_variable(dashboard: dict[str, Any]) -> None:
    """There is one variable for the data source, and every panel, query and variable uses it."""
    sources = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "datasource"]
    assert [(v["name"], v["label"], v["query"]) for v in sources] == [("datasource", "Data source", "prometheus")]
    users = [*panels(dashboard), *(t for p in panels(dashboard) for t in p["targets"]), *dashboard["annotations"]["list"]]
    users += [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert all(user["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for user in users)


@pytest.mark.parametrize("name", ["job", "instance"])
def test_target_variables(dashboard: dict[str, Any], name: str) -> None:
    """Job and instance can be chosen, any number of them or all."""
    variable = variables(dashboard)[name]
    assert (variable["type"], variable["label"], variable["multi"], variable["includeAll"]) == ("query", name.title(), True, True)
    assert variable["allValue"] == ".+"


def test_owner_variable_matches_a_missing_label(dashboard: dict[str, Any]) -> None:
    """All owners include the series of an agent that tells no owners apart."""
    assert variables(dashboard)["unit"]["allValue"] == ".*"


def test_variables_are_used(dashboard: dict[str, Any]) -> None:
    """Each variable narrows a query, and no query asks for one that there is not."""
    used = {name for _, expression in targets(dashboard) for name in re.findall(r"\$(\w+)", expression)} - {"__rate_interval"}
    assert used | {"datasource"} == set(variables(dashboard))


def test_variables_follow_the_time_range(dashboard: dict[str, Any]) -> None:
    """What a variable offers is asked again when the time range changes, and from known metrics of the chosen agents."""
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            match = VALUE_OF.match(variable["query"]["query"])
            assert match
            assert {family(m) for m in metrics(match[1])} <= KNOWN_METRICS
            assert variable["definition"] == variable["query"]["query"]


def test_panels_explain_themselves(dashboard: dict[str, Any]) -> None:
    """Every panel has a title of its own, a description, a unit and a query."""
    titles = [panel["title"] for panel in panels(dashboard)]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """Panels have numbers of their own and lie side by side within the grid."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_queries_match_job_and_instance(dashboard: dict[str, Any]) -> None:
    """Every selector of every query, the annotations' too, keeps to the chosen jobs and instances."""
    for title, expression in [*targets(dashboard), *((a["name"], a["expr"]) for a in dashboard["annotations"]["list"])]:
        assert selectors(expression), title
        assert {metric for metric, _ in selectors(expression)} == metrics(expression), title
        for metric, matchers in selectors(expression):
            assert {'job=~"$job"', 'instance=~"$instance"'} <= set(matchers.split(", ")), (title, metric)


def test_ranges_follow_the_scrape_interval(dashboard: dict[str, Any]) -> None:
    """Every range is $__rate_interval and stands in a rate."""
    for title, expression in targets(dashboard):
        assert set(re.findall(r"\[([^\]]*)\]", expression)) <= {"$__rate_interval"}, title
        assert expression.count("[") == len(re.findall(r"\b(?:rate|irate|increase)\(\w+\{[^}]*\}\[", expression)), title


def test_legends_name_labels_that_there_are(dashboard: dict[str, Any]) -> None:
    """What a legend names is a label that its query sums by."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped, panel["title"]


def test_tables_ask_for_this_moment(dashboard: dict[str, Any]) -> None:
    """A table shows the labels of what there is now, and not a row for each step of the range."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            is_table = panel["type"] == "table"
            assert (target["instant"], target["range"], target["format"] == "table") == (is_table, not is_table, is_table), panel["title"]


def test_counters_are_rated(dashboard: dict[str, Any]) -> None:
    """A counter is never shown as it is, but where .lint says why."""
    for title, expression in targets(dashboard):
        for metric, matchers in selectors(expression):
            if re.search(r"_(total|count|sum|bucket)$", metric) and not excluded("target-counter-agg", dashboard, title):
                assert f"rate({metric}{{{matchers}}}[" in expression, (title, metric)


def test_divisions_are_guarded(dashboard: dict[str, Any]) -> None:
    """Nothing is divided by zero."""
    for title, expression in targets(dashboard):
        for divisor in expression.split(" / ")[1:]:
            assert divisor.endswith((" > 0)", " > 0))")), title


def test_metrics_are_known(dashboard: dict[str, Any]) -> None:
    """No query of a dashboard names a metric that the agent does not expose."""
    for title, expression in targets(dashboard):
        assert {family(metric) for metric in metrics(expression)} <= KNOWN_METRICS, title


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((GRAFANA / "rules" / "perflens.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_metrics_of_rules_are_known() -> None:
    """No rule names a metric that neither the agent nor another rule makes."""
    known = KNOWN_METRICS | {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        assert {family(metric) for metric in metrics(rule["expr"])} <= known, rule


def test_bounds_are_those_of_the_histograms() -> None:
    """A query or rule that names a bucket names one that there is, written as the page writes it: another has no data."""
    everything = [rule["expr"] for rule in rules()]
    everything += [expression for path in DASHBOARDS for _, expression in targets(json.loads(path.read_text()))]
    named = set(re.findall(r'\ble="([^"]*)"', " ".join(everything)))
    assert named
    assert named <= {str(bound) for bound in octave_bounds()}


def test_recorded_names() -> None:
    """A recording rule is named level:metric:operations."""
    for rule in rules():
        assert "record" not in rule or re.fullmatch(r"instance_[a-z_]+:perflens_[a-z_]+:[a-z_]*rate2m", rule["record"])


def test_alerts_lead_to_a_runbook() -> None:
    """Every alert has a severity, a summary, a description, and a runbook that exists; every runbook is of an alert."""
    text = (GRAFANA.parent / "docs" / "runbooks.md").read_text()
    anchors = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    alerts = [rule for rule in rules() if "alert" in rule]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page == "https://github.com/perflens/perflens/blob/main/docs/runbooks.md"
        assert anchor == rule["alert"].lower()
    assert anchors == {rule["alert"].lower() for rule in alerts}
