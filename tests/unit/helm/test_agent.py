"""The DaemonSet: rights, mounts, flags and what each value changes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python
import pytest

from helm.build import CHART
from perflens.cli.context import Context
from perflens.config.environment import CONFIG_FILE
from perflens.config.keys import leaves, tree
from perflens.config.load import load
from perflens.errors import ConfigError
from tests.unit.helm.objects import TOKEN, VARIANTS, VERSION, agent_args, chart, values_of_variant

CATALOGUE = Context.of({}).catalogue

CAPABILITIES = {
    "default": ({}, ["BPF", "PERFMON", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE"]),
    "without kernel symbols": (
        {"features": {"kernelSymbols": False}},
        ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE"],
    ),
    "without user symbols": ({"features": {"userSymbols": False}}, ["BPF", "PERFMON", "SYSLOG"]),
    "measuring alone": ({"features": {"kernelSymbols": False, "userSymbols": False}}, ["BPF", "PERFMON"]),
    "old kernels": (
        {"features": {"kernelSymbols": False, "userSymbols": False}, "kernel": {"before511": True}},
        ["BPF", "PERFMON", "SYS_RESOURCE"],
    ),
}


@pytest.mark.parametrize("case", CAPABILITIES)
def test_capabilities_follow_from_features(case: str) -> None:
    """Everything is dropped, and what the features that are on need is added."""
    values, added = CAPABILITIES[case]

    context = chart(values).container()["securityContext"]

    assert context["capabilities"] == {"drop": ["ALL"], "add": added}


def test_agent_is_not_privileged() -> None:
    """Root without escalation, without a writable root, under the runtime's seccomp profile; in the PID namespace of the node alone."""
    objects = chart()

    context, pod = objects.container()["securityContext"], objects.pod()

    assert {key: context[key] for key in ("privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsUser")} == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
    }
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["hostPID"] is True
    assert not {"hostNetwork", "hostIPC", "hostUsers"} & pod.keys()
    assert pod["enableServiceLinks"] is False


def test_node_is_mounted_read_only() -> None:
    """Of the node the cgroup tree is mounted, read-only and at the node's own path; what can be written is the pod's."""
    mounts = chart().mounts()

    assert set(mounts) == {"/etc/perflens/config", "/var/lib/perflens", "/sys/fs/cgroup"}
    assert mounts["/sys/fs/cgroup"]["hostPath"] == {"path": "/sys/fs/cgroup", "type": "Directory"}
    assert mounts["/sys/fs/cgroup"]["readOnly"] is True
    assert mounts["/var/lib/perflens"]["emptyDir"] == {"sizeLimit": "64Mi"}


@pytest.mark.parametrize("path", ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"])
def test_tracefs_is_writable_where_the_agent_looks(path: str) -> None:
    """Wherever the node has tracefs, the agent has it at its usual place, for writing: kprobes are made there."""
    mount = chart({"tracefs": {"enabled": True, "hostPath": path}}).mounts()["/sys/kernel/tracing"]

    assert mount["hostPath"]["path"] == path
    assert not mount.get("readOnly")


def test_state_can_outlive_the_pod() -> None:
    """`state.hostPath` keeps incidents when a pod is replaced."""
    mounts = chart({"state": {"hostPath": "/var/lib/perflens"}}).mounts()

    assert mounts["/var/lib/perflens"]["hostPath"] == {"path": "/var/lib/perflens", "type": "DirectoryOrCreate"}


def test_health_is_asked_for() -> None:
    """Liveness asks for health, readiness and the start for readiness, with the timings of the values."""
    container = chart({"livenessProbe": {"periodSeconds": 7}}).container()

    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http"}
    assert container["livenessProbe"]["periodSeconds"] == 7
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/-/ready", "port": "http"}


def test_runs_on_every_node() -> None:
    """By default on every Linux node, whatever its taints; values narrow it."""
    pod = chart({"nodeSelector": {"disk": "ssd"}}).pod()

    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "disk": "ssd"}
    assert "tolerations" not in chart({"tolerations": []}).pod()


def test_node_and_pod_are_told_by_the_environment() -> None:
    """The agent learns its node, for spans and for the pods that it watches, and its address."""
    env = {own["name"]: own for own in chart({"kubernetes": {"enabled": True}}).container()["env"]}

    assert env["NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert env["POD_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert env["PERFLENS_KUBERNETES_NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert env["PERFLENS_KUBERNETES_ENABLED"]["value"] == "on"


def test_port_is_the_same_everywhere() -> None:
    """`port` is what the agent listens on, what the container shows and what the Service has."""
    objects = chart({"port": 9439, "scrapeAnnotations": True})

    assert "--web.listen-address=:9439" in agent_args(objects)
    assert objects.container()["ports"] == [{"name": "http", "containerPort": 9439, "protocol": "TCP"}]
    assert objects.of("Service", "perflens-agents")["spec"]["ports"][0]["port"] == 9439
    assert objects.of("DaemonSet")["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == "9439"


def test_commands_beside_the_agent_know_where_it_is() -> None:
    """What `kubectl exec` runs has no flags: variables name the file and the address that the agent's flags name."""
    objects = chart({"port": 9439})
    variables = {own["name"]: own["value"] for own in objects.container()["env"] if "value" in own}

    settings = load({}, {key: own for key, own in variables.items() if key != CONFIG_FILE}, None, CATALOGUE)

    assert f"--config.file={variables[CONFIG_FILE]}" in agent_args(objects)
    assert settings.web.listen_address == (":9439",)


def test_host_network_brings_its_dns_policy() -> None:
    """In the network of the node names of the cluster are found by another policy."""
    assert chart().pod()["dnsPolicy"] == "ClusterFirst"
    pod = chart({"hostNetwork": True}).pod()
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert chart({"hostNetwork": True, "dnsPolicy": "Default"}).pod()["dnsPolicy"] == "Default"


def test_agents_are_found_one_by_one() -> None:
    """The Service is headless, and selects exactly the pods of the agents."""
    objects = chart()
    service, daemonset = objects.of("Service", "perflens-agents"), objects.of("DaemonSet")

    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == daemonset["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= daemonset["spec"]["template"]["metadata"]["labels"].items()
    assert not any("version" in label or "chart" in label for label in service["spec"]["selector"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_agent_takes_its_configuration(variant: str, tmp_path: Path) -> None:
    """What the chart writes for the agents is what the agent accepts: file, variables, and no key that means nothing."""
    objects = chart(values_of_variant(variant))
    file = tmp_path / "perflens.yaml"
    file.write_text(objects.of("ConfigMap")["data"]["perflens.yaml"])
    variables = {own["name"] for own in objects.container()["env"] if own["name"].startswith("PERFLENS_")}

    settings = load({}, {}, str(file), CATALOGUE)

    assert variables <= {key.variable for key in leaves(tree(CATALOGUE))} | {CONFIG_FILE}
    if variant == "all-on":
        assert (settings.threshold, settings.events.rate) == (10_000_000, 1_000_000)
        assert settings.probes["file"].thresholds == {"fsync": 100_000_000}


def test_mistakes_are_the_agents_to_find(tmp_path: Path) -> None:
    """A free map may hold what the agent does not know, and it says so at its start."""
    file = tmp_path / "perflens.yaml"
    file.write_text(chart({"config": {"thresold": "5ms"}}).of("ConfigMap")["data"]["perflens.yaml"])

    with pytest.raises(ConfigError, match="did you mean threshold"):
        load({}, {}, str(file), CATALOGUE)


def test_a_changed_configuration_replaces_the_pods() -> None:
    """The pods carry a checksum of the configuration, and of secrets that the values hold."""

    def annotations(values: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = chart(values).of("DaemonSet")["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations({})["checksum/config"] == annotations({"podLabels": {"a": "b"}})["checksum/config"]
    assert annotations({})["checksum/config"] != annotations({"config": {"threshold": "9ms"}})["checksum/config"]
    first, second = (annotations({"web": {"apiToken": {"value": value}}})["checksum/secrets"] for value in ("one", "two"))
    assert first != second
    rotated = {"web": {"apiToken": {"value": "one"}}, "analyzer": {"enabled": True, "grafana": {"value": "new"}}}
    assert annotations(rotated)["checksum/secrets"] == first  # none of theirs: each agent would lose its counts
    assert "checksum/secrets" not in annotations(dict(TOKEN))


def test_further_fields_arrive() -> None:
    """Flags, variables, volumes, labels and security contexts of the values stand in the pod."""
    objects = chart(
        {
            "extraArgs": ["--log.format=json"],
            "extraEnv": [{"name": "HF_HOME", "value": "/tmp"}],
            "extraEnvFrom": [{"secretRef": {"name": "otlp"}}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            "podLabels": {"tier": "node"},
            "podAnnotations": {"owner": "me"},
            "annotations": {"note": "this"},
            "commonLabels": {"team": "storage"},
            "podSpec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["collector"]}]},
            "podSecurityContext": {"seLinuxOptions": {"type": "spc_t"}},
            "securityContext": {"runAsGroup": 7},
            "appArmorProfile": {"type": "Unconfined"},
            "priorityClassName": "system-node-critical",
            "imagePullSecrets": [{"name": "registry"}],
            "terminationGracePeriodSeconds": 3,
            "affinity": {"nodeAffinity": {}},
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        }
    )
    daemonset, pod, container = objects.of("DaemonSet"), objects.pod(), objects.container()

    assert agent_args(objects)[-1] == "--log.format=json"
    assert {"name": "HF_HOME", "value": "/tmp"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "otlp"}}]
    assert objects.mounts()["/more"]["emptyDir"] == {}
    assert daemonset["spec"]["template"]["metadata"]["labels"]["tier"] == "node"
    assert daemonset["spec"]["template"]["metadata"]["annotations"]["owner"] == "me"
    assert daemonset["metadata"]["annotations"] == {"note": "this"}
    assert {own["metadata"]["labels"]["team"] for own in objects.all} == {"storage"}
    assert pod["hostAliases"][0]["ip"] == "10.0.0.1"
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "seLinuxOptions": {"type": "spc_t"}}
    assert container["securityContext"]["runAsGroup"] == 7
    assert container["securityContext"]["appArmorProfile"] == {"type": "Unconfined"}
    assert pod["priorityClassName"] == "system-node-critical"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["terminationGracePeriodSeconds"] == 3
    assert pod["affinity"] == {"nodeAffinity": {}}
    assert daemonset["spec"]["updateStrategy"] == {"type": "OnDelete"}


IMAGES = {
    "the chart's own version": ({}, f"ghcr.io/perflens/perflens:{VERSION}"),
    "tag": ({"repository": "registry/mine", "tag": "1.2"}, "registry/mine:1.2"),
    "digest": ({"tag": "1.2", "digest": "sha256:" + "a" * 64}, "ghcr.io/perflens/perflens@sha256:" + "a" * 64),
}


@pytest.mark.parametrize("case", IMAGES)
def test_image(case: str) -> None:
    """A digest stands above a tag, and that above the version of the chart."""
    values, image = IMAGES[case]

    assert chart({"image": values}).container()["image"] == image


NAMES = {
    ("perflens", "", ""): "perflens",
    ("prod", "", ""): "prod-perflens",
    ("my-perflens", "", ""): "my-perflens",
    ("prod", "lens", ""): "prod-lens",
    ("prod", "", "whole"): "whole",
    ("x" * 53, "", ""): "x" * 50,
}


@pytest.mark.parametrize("case", NAMES)
def test_names(case: tuple[str, str, str]) -> None:
    """Objects are called after release and chart, and never longer than a DNS label allows with any suffix."""
    release, name, whole = case

    objects = chart({"nameOverride": name, "fullnameOverride": whole, **TOKEN}, name=release)

    assert objects.names("DaemonSet") == {NAMES[case]}
    assert max(len(own["metadata"]["name"]) for own in objects.all) <= 63


def test_rights_at_the_api_server() -> None:
    """The agents may watch pods and look at what owns them; nothing is written, and no secret is read."""
    objects = chart()
    role = objects.of("ClusterRole")

    assert {(resource, tuple(rule["verbs"])) for rule in role["rules"] for resource in rule["resources"]} == {
        ("pods", ("get", "list", "watch")),
        ("replicasets", ("get",)),
        ("jobs", ("get",)),
    }
    assert objects.of("ClusterRoleBinding")["subjects"] == [{"kind": "ServiceAccount", "name": "perflens", "namespace": "perflens"}]
    assert objects.pod()["serviceAccountName"] == "perflens"
    assert objects.pod()["automountServiceAccountToken"] is True


def test_names_from_the_kubelet() -> None:
    """The agents may ask kubelets for pods and nothing else, least of all `nodes/proxy`, and know the address of their own."""
    objects = chart({"kubernetes": {"source": "kubelet"}})
    env = {own["name"]: own for own in objects.container()["env"]}

    assert objects.of("ClusterRole")["rules"] == [{"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}]
    assert env["PERFLENS_KUBERNETES_SOURCE"]["value"] == "kubelet"
    assert env["PERFLENS_KUBERNETES_KUBELET"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.hostIP"
    assert env["PERFLENS_KUBERNETES_NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert objects.pod()["automountServiceAccountToken"] is True
    assert not {"PERFLENS_KUBERNETES_SOURCE", "PERFLENS_KUBERNETES_KUBELET"} & {own["name"] for own in chart().container()["env"]}


@pytest.mark.parametrize(("version", "known"), [("v1.31.4", False), ("v1.32.0", True), ("v1.33.0", True)])
def test_kubelets_that_do_not_know_the_right(version: str, known: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """On a Kubernetes where kubelets answer only who has `nodes/proxy`, the chart says what to use; the linter only logs that."""
    helm_python.lint(CHART, {"kubernetes": {"source": "kubelet"}}, strict=True, kube_version=version)

    assert (f"kubelets of Kubernetes {version} do not know the right nodes/pods; use api" in capfd.readouterr().err) is not known


WRITTEN = {"auto": "auto", "on": "on", "off": "off", True: "on", False: "off"}


@pytest.mark.parametrize("written", WRITTEN)
def test_names_of_pods_are_on_or_off(written: object) -> None:
    """The agent is told on and off, also where YAML has made a boolean of the word."""
    objects = chart({"kubernetes": {"enabled": written}})
    (value,) = [own["value"] for own in objects.container()["env"] if own["name"] == "PERFLENS_KUBERNETES_ENABLED"]

    assert value == WRITTEN[written]
    assert (objects.names("ClusterRole") == set()) is (value == "off")


def test_no_rights_without_names() -> None:
    """Without names of pods there is no role, and no token in the pod."""
    objects = chart({"kubernetes": {"enabled": "off"}})

    assert not objects.names("ClusterRole") | objects.names("ClusterRoleBinding")
    assert objects.pod()["automountServiceAccountToken"] is False
    assert not chart({"rbac": {"create": False}}).names("ClusterRole")


def test_an_account_of_ones_own() -> None:
    """`serviceAccount.create: false` uses the one that is named."""
    objects = chart({"serviceAccount": {"create": False, "name": "theirs"}})

    assert objects.names("ServiceAccount") == set()
    assert objects.pod()["serviceAccountName"] == "theirs"
    assert objects.of("ClusterRoleBinding")["subjects"][0]["name"] == "theirs"
    assert chart({"serviceAccount": {"create": False}}).pod()["serviceAccountName"] == "default"


def test_security_context_constraints_allow_what_values_add() -> None:
    """A volume of another kind, and a capability beside the table, are no reason to refuse the agents."""
    values = {
        "openshift": {"scc": {"create": True}},
        "extraVolumes": [{"name": "token", "csi": {"driver": "secrets-store.csi.k8s.io"}}],
        "securityContext": {"capabilities": {"add": ["BPF", "PERFMON", "SYS_ADMIN"]}},
    }
    objects = chart(values)
    scc = objects.of("SecurityContextConstraints")

    assert "csi" in scc["volumes"]
    assert scc["allowedCapabilities"] == objects.container()["securityContext"]["capabilities"]["add"] == ["BPF", "PERFMON", "SYS_ADMIN"]
    assert "csi" not in chart({"openshift": {"scc": {"create": True}}}).of("SecurityContextConstraints")["volumes"]


def test_security_context_constraints_are_what_the_pods_ask_for() -> None:
    """On OpenShift the SCC allows the capabilities of the table, the PIDs of the node and its folders, to this account alone."""
    objects = chart({"openshift": {"scc": {"create": True}}, "features": {"userSymbols": False}})
    scc = objects.of("SecurityContextConstraints")

    assert scc["allowedCapabilities"] == objects.container()["securityContext"]["capabilities"]["add"]
    assert scc["requiredDropCapabilities"] == ["ALL"]
    assert (scc["allowPrivilegedContainer"], scc["allowHostPID"], scc["allowHostNetwork"]) == (False, True, False)
    assert (scc["users"], scc["groups"]) == ([], [])
    kinds = {next(iter(own.keys() - {"name"})) for own in objects.pod()["volumes"]}
    assert kinds <= set(scc["volumes"])
    rule = objects.of("ClusterRole", "perflens-scc")["rules"][0]
    assert (rule["resourceNames"], rule["verbs"]) == (["perflens"], ["use"])
    assert objects.of("RoleBinding", "perflens-scc")["subjects"][0]["name"] == "perflens"
