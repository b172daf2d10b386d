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
CLASSIC, NATIVE = 'instance=~"$histograms"', 'instance!~"$histograms"'
LABELS = ("namespace", "workload", "pod", "container", "unit")
COUNTER = re.compile(r"_(total|count|sum|bucket)$")


def documented() -> dict[str, str]:
    """The type of every metric that an agent exposes, by its name."""
    page = (GRAFANA.parent / "docs" / "metrics.md").read_text()
    return dict(re.findall(r"^\| `(perflens_\w+)` \| (\w+) \|", page, re.MULTILINE))


HISTOGRAMS = {name for name, kind in documented().items() if kind == "histogram"}
# What an agent exposes beside its own metrics, and what Prometheus adds.
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
KNOWN_METRICS = {*documented(), *PROCESS, "scrape_duration_seconds", "scrape_samples_scraped", "up", "ALERTS"}


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
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\$\w+", " ", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w.:])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)
    return set(words) - {"sum", "and", "or", "unless", "offset", "max", "min", "topk", "count"}


def family(metric: str) -> str:
    base = re.sub(r"_(bucket|count|sum)$", "", metric)
    return base if base in HISTOGRAMS else metric


def excluded(rule: str, dashboard: dict[str, Any], panel: str = "") -> bool:
    rules = yaml.safe_load((GRAFANA / "dashboards" / ".lint").read_text())["exclusions"]
    entry = {"dashboard": dashboard["title"], "panel": panel} if panel else {"dashboard": dashboard["title"]}
    return entry in rules.get(rule, {"entries": []})["entries"]


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
    """There is one variable for the data source, and every panel, query and variable uses it; those of other kinds are named by them."""
    first, *others = (variable for variable in dashboard["templating"]["list"] if variable["type"] == "datasource")
    assert (first["name"], first["label"], first["query"]) == ("datasource", "Data source", "prometheus")
    assert not others or excluded("template-datasource-rule", dashboard)
    for other in others:
        assert (other["name"], other["label"]) == (f"{other['query']}_datasource", f"{other['query'].title()} data source")
    users = [*panels(dashboard), *(t for p in panels(dashboard) for t in p["targets"]), *dashboard["annotations"]["list"]]
    users += [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert all(user["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for user in users)


@pytest.mark.parametrize("name", ["job", "instance"])
def test_target_variables(dashboard: dict[str, Any], name: str) -> None:
    """Job and instance can be chosen, any number of them or all, but where the page is of one."""
    variable = variables(dashboard)[name]
    assert (variable["type"], variable["label"]) == ("query", name.title())
    if excluded(f"template-{name}-rule", dashboard):
        assert (variable["multi"], variable["includeAll"]) == (False, False)
    else:
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")


def test_owner_variables_match_a_missing_label(dashboard: dict[str, Any]) -> None:
    """All owners include the series of an agent whose level does not have the label, or that tells no owners apart."""
    assert all(variable["allValue"] == ".*" for name, variable in variables(dashboard).items() if name in LABELS)


def test_sums_by_owner_hold_at_every_level(dashboard: dict[str, Any]) -> None:
    """What is summed by owners is summed by every label that owners have at any level, in one order."""
    for title, expression in targets(dashboard):
        for by in re.findall(r"by \(([^)]*)\)", expression):
            owner = [label for label in by.split(", ") if label in LABELS]
            assert owner in ([], list(LABELS)), title


def test_variables_are_used(dashboard: dict[str, Any]) -> None:
    """Each variable narrows a query or leads a link, and no query asks for one that there is not."""
    used = {name for _, expression in targets(dashboard) for name in re.findall(r"\$(\w+)", expression)} - {"__rate_interval", "__range"}
    linked = {name for panel in panels(dashboard) for link in panel.get("links", []) for name in re.findall(r"\$\{(\w+)\}", link["url"])}
    assert used | (linked - {"__from", "__to"}) | {"datasource"} == set(variables(dashboard))


def test_histograms_are_of_one_kind(dashboard: dict[str, Any]) -> None:
    """A query asks classic histograms or native ones, as the variable says; whoever asks one asks the other beside it."""
    for panel in panels(dashboard):
        kinds: list[bool] = []
        for target in panel["targets"]:
            named = {metric: matchers for metric, matchers in selectors(target["expr"]) if family(metric) in HISTOGRAMS}
            forms = {metric in HISTOGRAMS for metric in named}
            assert len(forms) <= 1, panel["title"]
            for metric, matchers in named.items():
                assert (NATIVE if metric in HISTOGRAMS else CLASSIC) in matchers.split(", "), panel["title"]
            kinds += forms
        assert kinds.count(True) == kinds.count(False), panel["title"]


def test_kinds_of_histograms_are_switched(dashboard: dict[str, Any]) -> None:
    """The value for classic histograms matches every instance, that for native ones none."""
    switch = variables(dashboard).get("histograms")
    if switch is None:
        assert not any("$histograms" in expression for _, expression in targets(dashboard))
        return
    matched = {option["text"]: bool(re.fullmatch(option["value"], "10.0.0.1:9435")) for option in switch["options"]}
    assert matched == {"classic": True, "native": False}
    assert (switch["multi"], switch["includeAll"]) == (False, False)  # else Grafana would escape the pattern


def test_incidents_are_marked(dashboard: dict[str, Any]) -> None:
    """Every dashboard marks incidents by cause and subject, and alerts, from Prometheus."""
    incidents, alerts = dashboard["annotations"]["list"]
    assert incidents["expr"] == ('max by (instance, cause, subject) (perflens_incident_active{job=~"$job", instance=~"$instance"})')
    assert ("{{cause}}" in incidents["titleFormat"], "{{subject}}" in incidents["textFormat"]) == (True, True)
    assert 'alertname=~"PerfLens.+"' in alerts["expr"]


def test_a_node_is_that_of_an_agent() -> None:
    """The dashboard of one host offers agents: the analyzer beside a fleet has perflens_build_info too, and nothing to show there."""
    node = json.loads((GRAFANA / "dashboards" / "perflens-node.json").read_text())

    assert metrics(variables(node)["instance"]["query"]["query"].removeprefix("label_values")) >= {"perflens_config_last_reload_successful"}


def test_variables_follow_the_time_range(dashboard: dict[str, Any]) -> None:
    """What a variable offers is asked again when the time range changes, and from known metrics of the chosen agents."""
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            match = VALUE_OF.match(variable["query"]["query"])
            assert match
            by_name = re.search(r'__name__=~"(\w+)\(_count\)\?"', match[1])
            assert {by_name[1]} <= HISTOGRAMS if by_name else {family(m) for m in metrics(match[1])} <= KNOWN_METRICS
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


def test_seconds_are_of_metrics_in_seconds(dashboard: dict[str, Any]) -> None:
    """What is shown in seconds is made of a metric in seconds: a count would pass for a time."""
    for panel in panels(dashboard):
        if panel["fieldConfig"]["defaults"]["unit"] == "s":
            for target in panel["targets"]:
                assert any("_seconds" in metric for metric, _ in selectors(target["expr"])), panel["title"]


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
            own = set(matchers.replace('"$instance|"', '"$instance"').split(", ")) if metric == "ALERTS" else set(matchers.split(", "))
            assert {'job=~"$job"', 'instance=~"$instance"'} <= own, (title, metric)


def test_alerts_of_all_nodes_are_marked(dashboard: dict[str, Any]) -> None:
    """An alert of a workload on all its nodes has no instance, and is marked where one looks at owners of many nodes, and nowhere else."""
    (pattern,) = re.findall(r'instance=~"([^"]+)"', dashboard["annotations"]["list"][1]["expr"])
    shown = [bool(re.fullmatch(pattern.replace("$instance", chosen), "")) for chosen in (".+", "(a:9435|b:9435)", "a:9435")]

    assert shown == [dashboard["title"] in ("PerfLens / Overview", "PerfLens / Workload")] * 3


def test_ranges_follow_the_scrape_interval(dashboard: dict[str, Any]) -> None:
    """Every range of a rate is $__rate_interval; that of an increase may be what is shown."""
    for title, expression in targets(dashboard):
        ranges = re.findall(r"\b(\w+)\(\w+\{[^}]*\}\[([^\]]*)\]", expression)
        assert set(ranges) <= {("rate", "$__rate_interval"), ("increase", "$__range")}, title
        assert expression.count("[") == len(ranges), title


def test_legends_name_labels_that_there_are(dashboard: dict[str, Any]) -> None:
    """What a legend names is a label that its query sums by; a native histogram has no `le`."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= grouped or (named == {"le"} and NATIVE in target["expr"]), panel["title"]


def test_exemplars_are_shown_where_there_are_histograms(dashboard: dict[str, Any]) -> None:
    """Exemplars are asked for with queries of buckets, and only with them."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            assert not target["exemplar"] or family(selectors(target["expr"])[0][0]) in HISTOGRAMS, panel["title"]


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
            if COUNTER.search(metric) and not excluded("target-counter-agg-rule", dashboard, title):
                assert re.search(rf"(rate|increase)\({metric}{re.escape(f'{{{matchers}}}[')}", expression), (title, metric)


def test_divisions_are_guarded(dashboard: dict[str, Any]) -> None:
    """Nothing is divided by zero."""
    for title, expression in targets(dashboard):
        for divisor in expression.split(" / ")[1:]:
            assert re.search(r"( > 0\)+|^1e6)$", divisor), title


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
        assert "record" not in rule or re.fullmatch(r"[a-z_]+:perflens_[a-z_]+:([a-z_]*rate(2m|5m|30m|1h|6h)|count)", rule["record"])


def test_alerts_lead_to_a_runbook() -> None:
    """Every alert has a severity, a summary, a description, and a runbook that exists; every runbook is of an alert."""
    text = (GRAFANA.parent / "docs" / "runbooks.md").read_text()
    anchors = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    alerts = [rule for rule in rules() if "alert" in rule]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"info", "warning", "critical", "{{ $labels.severity }}"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page == "https://github.com/perflens/perflens/blob/main/docs/runbooks.md"
        assert anchor == rule["alert"].lower()
    assert anchors == {rule["alert"].lower() for rule in alerts}


def test_runbooks_say_what_to_do() -> None:
    """Each runbook says what its alert means, whom it hurts, how to check it and how to mend it."""
    text = (GRAFANA.parent / "docs" / "runbooks.md").read_text()
    for section in text.split("\n## ")[1:]:
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Meaning", "Impact", "Check", "Cure"], section.splitlines()[0]


def test_rules_hold_at_every_level() -> None:
    """A sum over owners leaves out every label that owners have at any level; one over pods and nodes leaves out what they are told by."""
    for rule in rules():
        for without in re.findall(r"without \(([^)]*)\)", rule["expr"]):
            labels = without.split(", ")
            assert "unit" not in labels or set(labels) >= {"unit", "pod", "container"}, rule
            assert "instance" not in labels or "node" in labels, rule
