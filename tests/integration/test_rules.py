"""Rules and queries as promtool sees them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
TESTS = sorted((GRAFANA / "rules").glob("*_test.yaml"))
Promtool = Callable[..., subprocess.CompletedProcess[str]]


def test_rules_pass_the_linter(promtool: Promtool) -> None:
    """The rules are valid, and the linter has nothing to say."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(GRAFANA / "rules" / "perflens.yaml"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_rules_do_what_they_say(promtool: Promtool) -> None:
    """Every rule and alert passes its unit tests."""
    done = promtool("test", "rules", *map(str, TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_unit_test() -> None:
    """No rule is without a test, and every alert has a case in which it fires and one in which it does not."""
    groups = yaml.safe_load((GRAFANA / "rules" / "perflens.yaml").read_text())["groups"]
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    asked = " ".join(case["expr"] for test in tests for case in test.get("promql_expr_test", []))
    for rule in (rule for group in groups for rule in group["rules"]):
        outcomes = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == rule.get("alert")}
        assert rule["record"] in asked if "record" in rule else outcomes == {True, False}, rule


def test_queries_of_dashboards_are_valid(promtool: Promtool, tmp_path: Path) -> None:
    """Every query of a dashboard, its annotations too, is valid PromQL."""
    rules = []
    for path in (GRAFANA / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        asked = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
        asked += [(annotation["name"], annotation["expr"]) for annotation in dashboard["annotations"]["list"]]
        for number, (title, expression) in enumerate(asked):
            for variable, value in (("__rate_interval", "1m"), ("__range", "1h"), ("price_input", "0.1"), ("price_output", "0.4")):
                expression = expression.replace(f"${variable}", value)
            labels = {"dashboard": dashboard["title"], "panel": title, "target": str(number)}
            rules.append({"record": "query", "expr": expression.replace("$", ""), "labels": labels})
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", str(tmp_path / "queries.yaml"))
    assert rules
    assert done.returncode == 0, done.stderr
