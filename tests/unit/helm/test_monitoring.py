"""Monitors, rules, dashboards and network policies: what Prometheus, Grafana and the network are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.helm.objects import TOKEN, chart

GRAFANA = Path(__file__).parents[3] / "grafana"
RULES: list[dict[str, Any]] = yaml.safe_load((GRAFANA / "rules" / "perflens.yaml").read_text())["groups"]
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
MONITORS = [("podMonitor", "PodMonitor", "podMetricsEndpoints"), ("serviceMonitor", "ServiceMonitor", "endpoints")]


def test_nothing_is_there_unasked() -> None:
    """Without the operator's objects the chart installs everywhere: all of them are off."""
    kinds = {own["kind"] for own in chart().all}

    assert kinds == {"ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Pod", "Service", "ServiceAccount"}


@pytest.mark.parametrize(("value", "kind", "endpoints"), MONITORS)
def test_monitor(value: str, kind: str, endpoints: str) -> None:
    """It selects the agents in the namespace of the release, by the name of the port, and leaves the format to Prometheus."""
    objects = chart({value: {"enabled": True}}, namespace="lens")
    spec = objects.of(kind)["spec"]
    (endpoint,) = spec[endpoints]
    target = objects.of("DaemonSet")["spec"]["template"] if kind == "PodMonitor" else objects.of("Service", "perflens-agents")

    assert spec["selector"]["matchLabels"].items() <= target["metadata"]["labels"].items()
    assert spec["namespaceSelector"] == {"matchNames": ["lens"]}
    assert not {"scrapeProtocols", "scrapeNativeHistograms"} & spec.keys()
    assert "attachMetadata" not in spec
    assert (endpoint["port"], endpoint["path"], endpoint["scheme"]) == ("http", "/metrics", "http")
    assert {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"} in endpoint["relabelings"]
    assert not {"interval", "scrapeTimeout", "tlsConfig"} & endpoint.keys()


@pytest.mark.parametrize(("value", "kind", "endpoints"), MONITORS)
def test_settings_of_a_monitor(value: str, kind: str, endpoints: str) -> None:
    """Both kinds have the settings of `podMonitor`."""
    settings: dict[str, Any] = {
        "namespace": "monitoring",
        "labels": {"release": "stack"},
        "interval": "15s",
        "scrapeTimeout": "5s",
        "scrapeProtocols": ["PrometheusText0.0.4"],
        "scrapeNativeHistograms": False,
        "attachNodeMetadata": True,
        "relabelings": [],
        "metricRelabelings": [{"action": "labeldrop", "regex": "unit"}],
        "endpoint": {"honorLabels": True},
    }
    values: dict[str, Any] = {"podMonitor": settings}
    values.setdefault(value, {})["enabled"] = True
    own = chart(values).of(kind)
    (endpoint,) = own["spec"][endpoints]

    assert own["metadata"]["namespace"] == "monitoring"
    assert own["metadata"]["labels"]["release"] == "stack"
    assert own["spec"]["scrapeProtocols"] == ["PrometheusText0.0.4"]
    assert own["spec"]["scrapeNativeHistograms"] is False
    assert own["spec"]["attachMetadata"] == {"node": True}
    assert (endpoint["interval"], endpoint["scrapeTimeout"], endpoint["honorLabels"]) == ("15s", "5s", True)
    assert endpoint["metricRelabelings"] == [{"action": "labeldrop", "regex": "unit"}]
    assert "relabelings" not in endpoint


def test_monitor_follows_the_web_configuration() -> None:
    """With TLS it asks by HTTPS, with the path that the configuration names; the analyzer has a monitor of its own."""
    objects = chart(
        {
            "config": {"web": {"telemetry_path": "/own"}},
            "web": {"config": {"existingSecret": "web", "tls": True}, **TOKEN["web"]},
            "analyzer": {"enabled": True, "config": {"web": {"telemetry_path": "/fleet"}}},
            "podMonitor": {"enabled": True},
        }
    )
    (agents,) = objects.of("PodMonitor")["spec"]["podMetricsEndpoints"]
    (analyzer,) = objects.of("PodMonitor", "perflens-analyzer")["spec"]["podMetricsEndpoints"]

    assert (agents["scheme"], agents["path"], agents["tlsConfig"]) == ("https", "/own", {"insecureSkipVerify": True})
    assert (analyzer["scheme"], analyzer["path"]) == ("http", "/fleet")
    verified = chart({"web": {"config": {"existingSecret": "web", "tls": True}}, "podMonitor": {"enabled": True, "tlsConfig": {"ca": {}}}})
    assert verified.of("PodMonitor")["spec"]["podMetricsEndpoints"][0]["tlsConfig"] == {"ca": {}}


@pytest.mark.parametrize(("value", "kind", "endpoints"), MONITORS)
def test_the_analyzer_is_a_job_of_its_own(value: str, kind: str, endpoints: str) -> None:
    """Incidents of agents and those of the fleet can be told apart, whatever the relabelings of the values are."""
    job = {"targetLabel": "job", "replacement": "perflens-analyzer"}
    choices: list[dict[str, Any]] = [{}, {"relabelings": []}]
    for settings in choices:
        values: dict[str, Any] = {"podMonitor": settings, "analyzer": {"enabled": True}, **TOKEN}
        values.setdefault(value, {})["enabled"] = True
        objects = chart(values)

        assert objects.of(kind, "perflens-analyzer")["spec"][endpoints][0]["relabelings"][-1] == job
        assert job not in objects.of(kind)["spec"][endpoints][0].get("relabelings", [])


def test_rules_are_those_of_the_file() -> None:
    """The PrometheusRule has every group and rule of grafana/rules, with expressions, templates and runbooks as they are."""
    assert chart({"prometheusRule": {"enabled": True}}).of("PrometheusRule")["spec"]["groups"] == RULES


def test_runbooks_are_kept() -> None:
    """Every alert has its runbook."""
    groups = chart({"prometheusRule": {"enabled": True}}).of("PrometheusRule")["spec"]["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]

    assert alerts
    assert all(rule["annotations"]["runbook_url"].endswith(f"docs/runbooks.md#{rule['alert'].lower()}") for rule in alerts)


def test_rules_can_be_changed() -> None:
    """Alerts are left out by name, and all of them get labels; recording rules stay as they are."""
    name = next(rule["alert"] for group in RULES for rule in group["rules"] if "alert" in rule)
    values = {"enabled": True, "namespace": "monitoring", "labels": {"a": "b"}, "disabledAlerts": [name], "alertLabels": {"team": "x"}}
    own = chart({"prometheusRule": values}).of("PrometheusRule")
    rules = [rule for group in own["spec"]["groups"] for rule in group["rules"]]

    assert (own["metadata"]["namespace"], own["metadata"]["labels"]["a"]) == ("monitoring", "b")
    assert name not in {rule.get("alert") for rule in rules}
    assert {rule["labels"]["team"] for rule in rules if "alert" in rule} == {"x"}
    assert all("severity" in rule["labels"] for rule in rules if "alert" in rule)
    assert not any("labels" in rule for rule in rules if "record" in rule)


def test_dashboards_are_those_of_the_folder() -> None:
    """Each dashboard of grafana/dashboards is a ConfigMap with the sidecar's label, its JSON unchanged."""
    objects = chart({"dashboards": {"enabled": True, "namespace": "monitoring", "annotations": {"grafana_folder": "Nodes"}}})
    found = [own for own in objects.all if own["kind"] == "ConfigMap" and own["metadata"]["labels"].get("grafana_dashboard") == "1"]

    assert {name: json.loads(text) for own in found for name, text in own["data"].items()} == {
        path.name: json.loads(path.read_text()) for path in DASHBOARDS
    }
    assert {own["metadata"]["namespace"] for own in found} == {"monitoring"}
    assert {own["metadata"]["annotations"]["grafana_folder"] for own in found} == {"Nodes"}
    assert len({own["metadata"]["name"] for own in found}) == len(DASHBOARDS)


def test_network_policy() -> None:
    """Only the port is open, to those who may scrape, to the analyzer and to the selftest."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    objects = chart({"networkPolicy": {"enabled": True, "from": [peer]}, "analyzer": {"enabled": True}, **TOKEN})
    agents, analyzer = (objects.of("NetworkPolicy", f"perflens-{of}")["spec"] for of in ("agent", "analyzer"))
    components = [own["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for own in agents["ingress"][0]["from"][1:]]

    assert agents["ingress"][0]["ports"] == [{"port": 9435, "protocol": "TCP"}]
    assert agents["ingress"][0]["from"][0] == peer
    assert components == ["analyzer", "selftest"]
    assert agents["podSelector"]["matchLabels"] == objects.of("DaemonSet")["spec"]["selector"]["matchLabels"]
    assert analyzer["ingress"] == [{"ports": [{"port": 9436, "protocol": "TCP"}], "from": [peer]}]


def test_network_policy_for_everybody() -> None:
    """Without peers the port is open to all, and every other one is closed."""
    policy = chart({"networkPolicy": {"enabled": True}}).of("NetworkPolicy", "perflens-agent")["spec"]

    assert policy["ingress"] == [{"ports": [{"port": 9435, "protocol": "TCP"}]}]
    assert policy["policyTypes"] == ["Ingress"]


def test_extra_manifests() -> None:
    """Further manifests are taken as they are."""
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beside"}, "data": {"a": "{{ b }}"}}

    assert chart({"extraManifests": [own]}).of("ConfigMap", "beside") == own
