"""Values: strict, complete, and each wrong combination refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from helm_python import HelmError

from helm.build import CHART
from helm.readme import values_of
from tests.unit.helm.objects import TOKEN, chart, walk

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def schema_keys(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the dotted keys that are the chart's own."""
    for key, own in resolved(schema).get("properties", {}).items():
        yield f"{path}{key}"
        if own.get("$ref", "").rpartition("/")[2] not in ("timings", "resources"):
            yield from schema_keys(own, f"{path}{key}.")


OURS = set(schema_keys(SCHEMA)) - {"global", "enabled"}
OF_KUBERNETES = ("resources", "appArmorProfile", "imagePullSecrets", "rbac.rules")


def test_schema_has_the_keys_of_the_values() -> None:
    """Every value with a default is in the schema, and the other way round."""
    defaults = {key for key, _ in walk(VALUES)}

    known = {key for key in OURS if not key.startswith("appArmorProfile.")}

    assert known - defaults == set()
    free = {key for key in defaults - known if any(key.startswith(f"{own}.") for own in known)}
    assert defaults - known - free == set()
    assert {key.split(".")[0] for key in free} <= {
        "analyzer",
        "dashboards",
        "livenessProbe",
        "podMonitor",
        "readinessProbe",
        "resources",
        "startupProbe",
        "updateStrategy",
    }


def test_every_value_is_described() -> None:
    """Each value of the chart has a comment for the README, itself or as a part of a described map."""
    described = {own.key for own in values_of((CHART / "values.yaml").read_text())}
    leaves = {key for key, own in walk(VALUES) if not isinstance(own, dict) or not own}

    assert {key for key in leaves if not any(key == own or key.startswith(f"{own}.") for own in described)} == set()


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            yield schema
        for own in schema.values():
            yield from objects_of(own)


def test_unknown_keys_are_refused_wherever_keys_are_ours() -> None:
    """No map with keys of the chart's own takes others."""
    maps = list(objects_of(SCHEMA))

    assert len(maps) > 25
    assert all(own["additionalProperties"] is False for own in maps)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"colour": "red"}, "colour"),
    "unknown key inside": ({"podMonitor": {"enable": True}}, "enable"),
    "port": ({"port": 0}, "port"),
    "port as text": ({"port": "9435"}, "port"),
    "pull policy": ({"image": {"pullPolicy": "always"}}, "pullPolicy"),
    "digest": ({"image": {"digest": "sha256:abc"}}, "digest"),
    "health check": ({"web": {"config": {"healthCheck": "grpc"}}}, "healthCheck"),
    "scrape protocol": ({"podMonitor": {"scrapeProtocols": ["OpenMetrics"]}}, "scrapeProtocols"),
    "names": ({"kubernetes": {"enabled": "maybe"}}, "enabled"),
    "source": ({"kubernetes": {"source": "etcd"}}, "source"),
    "source in config": ({"config": {"kubernetes": {"source": "kubelet"}}}, "use `kubernetes`"),
    "verbs of kubelets": ({"rbac": {"kubeletRules": [{"verbs": ["create"]}]}}, "verbs"),
    "verbs": ({"rbac": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]}}, "verbs"),
    "label": ({"podLabels": {"a": 1}}, "podLabels"),
    "quantity": ({"resources": {"limits": {"memory": "lots"}}}, "memory"),
    "token": ({"web": {"apiToken": {"value": "two words"}}}, "value"),
    "Secret's name": ({"web": {"apiToken": {"existingSecret": "Upper"}}}, "existingSecret"),
    "alert that there is not": (
        {"prometheusRule": {"enabled": True, "disabledAlerts": ["PerfLensSlow"]}},
        "there is no alert PerfLensSlow;",
    ),
    "two monitors": ({"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}, "enable one of them"),
    "probes in config": ({"config": {"probes": {}}}, "move it to `probes`"),
    "address in config": ({"config": {"web": {"listen_address": [":1"]}}}, "use `port`"),
    "token file in config": ({"config": {"web": {"api_token_file": "/a"}}}, "use `web.apiToken`"),
    "web file in config": ({"config": {"web": {"config_file": "/a"}}}, "use `web.config`"),
    "names in config": ({"config": {"kubernetes": {"enabled": "on"}}}, "use `kubernetes`"),
    "two web files": ({"web": {"config": {"existingSecret": "a", "content": {"b": 1}}}}, "leave one out"),
    "certificate without file": ({"web": {"config": {"tlsSecret": "a"}}}, "cert_file: tls.crt"),
    "two tokens": ({"web": {"apiToken": {"existingSecret": "a", "value": "b"}}}, "leave one out"),
    "analyzer without token": ({"analyzer": {"enabled": True}}, "set web.apiToken.existingSecret"),
    "model of the agents": ({**TOKEN, "analyzer": {"enabled": True}, "config": {"llm": {}}}, "move it to analyzer.config.llm"),
    "Grafana of the agents": ({**TOKEN, "analyzer": {"enabled": True}, "config": {"grafana": {}}}, "move it to analyzer.config.grafana"),
    "two tokens of the model": (
        {**TOKEN, "analyzer": {"enabled": True, "llm": {"existingSecret": "a", "value": "b"}}},
        "analyzer.llm: existingSecret and value",
    ),
    "certificate of the analyzer": (
        {
            "web": {"apiToken": {"value": "a"}, "config": {"content": {"tls_server_config": {"client_auth_type": "RequireAnyClientCert"}}}},
            "analyzer": {"enabled": True},
        },
        "VerifyClientCertIfGiven",
    ),
    "fields of the pod that the chart sets": ({"podSpec": {"volumes": []}}, "podSpec.volumes: the chart sets it"),
    "analyzer's address": (
        {**TOKEN, "analyzer": {"enabled": True, "config": {"web": {"listen_address": []}}}},
        "use `analyzer.port`",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused(case: str) -> None:
    """A value that cannot be meant is an error that names it, and a combination that cannot work says what to do."""
    values, message = WRONG[case]

    with pytest.raises(HelmError, match=message):
        chart(values)


def test_agents_may_have_model_and_grafana_without_an_analyzer() -> None:
    """Without the analyzer the sections are the agents' own."""
    assert chart({"config": {"grafana": {"url": "http://g"}}}).config() == {"grafana": {"url": "http://g"}}


FREE = [
    "config",
    "probes",
    "podSpec",
    "podSecurityContext",
    "securityContext",
    "resources",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "web.config.content",
    "podMonitor.relabelings",
    "selftest.resources",
    "analyzer.config",
]


@pytest.mark.parametrize("key", FREE)
def test_a_map_that_is_left_empty_is_an_empty_one(key: str) -> None:
    """A key whose lines are all commented out is null, which Helm takes for "not there"."""
    values: dict[str, Any] = {**TOKEN, "analyzer": {"enabled": True}, "podMonitor": {"enabled": True}}
    *parents, last = key.split(".")
    own = values = json.loads(json.dumps(values))
    for parent in parents:
        own = own.setdefault(parent, {})
    own[last] = None

    objects = chart(values)

    assert objects.names("DaemonSet") == {"perflens"}
    assert objects.container()["livenessProbe"]["httpGet"]["path"] == "/-/healthy"


def test_a_section_of_the_configuration_that_is_left_empty() -> None:
    """So is one in the agents' free map."""
    objects = chart({"config": {"web": None, "series": None, "filter": None}, "scrapeAnnotations": True})

    assert objects.container()["resources"] == chart().container()["resources"]


def test_as_part_of_another_chart() -> None:
    """Helm gives charts that are parts of others a value `global`, and `enabled` where that is the condition."""
    assert chart({"global": {"anything": 1}, "enabled": True}).names("DaemonSet") == {"perflens"}
