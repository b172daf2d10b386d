"""The analyzer: one, without rights, and alone with the tokens of model and Grafana."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perflens.cli.context import Context
from perflens.config.keys import leaves, tree
from perflens.config.load import load
from tests.unit.helm.objects import chart

NAME = "perflens-analyzer"


def values(**analyzer: object) -> dict[str, Any]:
    return {"web": {"apiToken": {"existingSecret": "api"}}, "analyzer": {"enabled": True, **analyzer}}


def test_off_by_default() -> None:
    """Without it there is no Deployment, no account and no Service of it."""
    assert not any(NAME in own for own in chart().names())


def test_one_without_rights() -> None:
    """It has no capability, no root, no token of the API server, nothing of the node, and is never there twice."""
    objects = chart(values())
    deployment, pod, container = objects.of("Deployment", NAME), objects.pod("Deployment", NAME), objects.container("Deployment", NAME)

    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert container["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["serviceAccountName"] == NAME
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostNetwork", "hostIPC"} & pod.keys()
    assert not any("hostPath" in own for own in pod["volumes"])
    assert NAME not in json.dumps([own for own in objects.all if "Role" in own["kind"]])


def test_openshift_gives_it_a_user() -> None:
    """There a pod that names a user outside of its namespace's range is refused, so it names none, and is not root for all that."""
    pod = chart(values() | {"openshift": {"scc": {"create": True}}}).pod("Deployment", NAME)

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert {"runAsUser", "runAsGroup", "fsGroup"} < chart(values()).pod("Deployment", NAME)["securityContext"].keys()


def test_it_finds_the_agents() -> None:
    """Its configuration names the headless Service with the port of the agents, and the token that they ask for."""
    objects = chart({**values(port=9500), "port": 9440}, namespace="monitoring")

    config = objects.config(NAME)

    assert config["fleet"] == {
        "dns": "perflens-agents.monitoring.svc:9440",
        "scheme": "http",
        "token_file": "/etc/perflens/api-token/token",
    }
    assert config["web"] == {"listen_address": [":9500"]}
    assert objects.names("Service") >= {"perflens-agents", NAME}
    assert objects.of("Service", NAME)["spec"]["ports"][0]["port"] == 9500
    assert objects.container("Deployment", NAME)["ports"][0]["containerPort"] == 9500
    assert objects.container("Deployment", NAME)["command"] == ["perflens", "analyze"]


def test_it_asks_by_tls_where_the_agents_have_it() -> None:
    """With TLS it asks by HTTPS, and knows their authority by its certificate alone: the key beside it is not mounted."""
    web = {"apiToken": {"existingSecret": "api"}, "config": {"existingSecret": "web", "tls": True}}
    objects = chart({"web": web, "analyzer": {"enabled": True, "caSecret": {"name": "agents-tls", "key": "ca.crt"}}})

    fleet = objects.config(NAME)["fleet"]

    assert (fleet["scheme"], fleet["ca_file"]) == ("https", "/etc/perflens/ca/ca.crt")
    assert objects.mounts("Deployment", NAME)["/etc/perflens/ca"]["secret"] == {
        "secretName": "agents-tls",
        "defaultMode": 0o440,
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }


def test_secrets_are_its_own() -> None:
    """The tokens of model and Grafana are mounted there, for its group, and nowhere else."""
    objects = chart(values(llm={"existingSecret": "llm-token", "key": "hf"}, grafana={"value": "glsa_x"}))
    mounts = objects.mounts("Deployment", NAME)

    assert mounts["/etc/perflens/llm"]["secret"] == {"secretName": "llm-token", "defaultMode": 0o440}
    assert mounts["/etc/perflens/grafana"]["secret"]["secretName"] == "perflens-analyzer-grafana"
    assert objects.of("Secret", "perflens-analyzer-grafana")["stringData"]["token"].strip() == "glsa_x"
    assert objects.config(NAME)["llm"] == {"token_file": "/etc/perflens/llm/hf"}
    assert objects.config(NAME)["grafana"] == {"token_file": "/etc/perflens/grafana/token"}
    assert not {"llm", "grafana"} & objects.config().keys()
    assert "/etc/perflens/llm" not in objects.mounts()
    assert objects.pod("Deployment", NAME)["securityContext"]["fsGroup"] == 65532


def test_analyzer_takes_its_configuration(tmp_path: Path) -> None:
    """What the chart writes for it is what `perflens analyze` accepts: no key that means nothing."""
    catalogue = Context.of({}).catalogue
    if not any(key.path[0] == "fleet" for key in leaves(tree(catalogue))):
        pytest.skip("this agent has no section `fleet`")
    secrets: dict[str, Any] = {"llm": {"existingSecret": "a"}, "grafana": {"existingSecret": "b"}, "caSecret": {"name": "c"}}
    file = tmp_path / "perflens.yaml"
    file.write_text(chart(values(**secrets)).of("ConfigMap", NAME)["data"]["perflens.yaml"])

    settings = load({}, {}, str(file), catalogue)

    assert settings.web.listen_address == (":9436",)
    assert settings.llm.token_file == "/etc/perflens/llm/token"  # noqa: S105


def test_without_tokens_nothing_is_said_of_them() -> None:
    """Without secrets the configuration has no section of model or Grafana."""
    objects = chart(values())

    assert objects.config(NAME).keys() == {"fleet", "web"}
    assert objects.mounts("Deployment", NAME).keys() == {"/etc/perflens/config", "/etc/perflens/api-token", "/var/lib/perflens"}


def test_own_configuration_is_merged() -> None:
    """What the values say of a section stands beside what the chart knows, and above it."""
    config = chart(values(config={"llm": {"model": "m"}, "fleet": {"agents": ["http://a:9435"]}}, llm={"existingSecret": "s"})).config(NAME)

    assert config["llm"] == {"model": "m", "token_file": "/etc/perflens/llm/token"}
    assert config["fleet"]["agents"] == ["http://a:9435"]
    assert "dns" in config["fleet"]


def test_its_place_and_state() -> None:
    """Nodes, tolerations, resources, labels, claim and flags are those of the values."""
    objects = chart(
        values(
            nodeSelector={"pool": "infra"},
            tolerations=[{"key": "infra"}],
            affinity={"nodeAffinity": {}},
            priorityClassName="high",
            resources={"limits": {"memory": "1Gi"}},
            existingClaim="claim",
            extraArgs=["--log.level=debug"],
            extraEnv=[{"name": "A", "value": "b"}],
            podLabels={"a": "b"},
            podAnnotations={"c": "d"},
            serviceAccount={"create": False, "name": "theirs"},
        )
    )
    pod, container = objects.pod("Deployment", NAME), objects.container("Deployment", NAME)
    metadata = objects.of("Deployment", NAME)["spec"]["template"]["metadata"]

    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "infra"}
    assert (pod["tolerations"], pod["affinity"], pod["priorityClassName"]) == ([{"key": "infra"}], {"nodeAffinity": {}}, "high")
    assert pod["serviceAccountName"] == "theirs"
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    assert container["args"][-1] == "--log.level=debug"
    assert container["env"] == [{"name": "A", "value": "b"}]
    assert objects.mounts("Deployment", NAME)["/var/lib/perflens"]["persistentVolumeClaim"] == {"claimName": "claim"}
    assert metadata["labels"]["a"] == "b"
    assert metadata["annotations"]["c"] == "d"
    assert NAME not in objects.names("ServiceAccount")


def test_a_changed_configuration_replaces_it() -> None:
    """Its pod carries checksums of its configuration and of the secrets in the values."""

    def sums(**analyzer: object) -> dict[str, str]:
        found: dict[str, str] = chart(values(**analyzer)).of("Deployment", NAME)["spec"]["template"]["metadata"]["annotations"]
        return found

    assert sums() == sums(podLabels={"a": "b"})
    assert sums()["checksum/config"] != sums(config={"llm": {"model": "m"}})["checksum/config"]
    assert sums(llm={"value": "a"})["checksum/secrets"] != sums(llm={"value": "b"})["checksum/secrets"]
