"""The pod of `helm test`: how it comes to an agent whose numbers it can prove, and that the command takes its flags."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from perflens.cli import selftest
from tests.unit.helm.objects import Objects, chart

POD = ("Pod", "perflens-selftest")
TOKEN = {"apiToken": {"existingSecret": "api"}}

MODES: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "nobody else may ask the API": ({}, None, False),
    "a token": ({"web": TOKEN}, "http://perflens-local:9435/metrics", True),
    "the network of the node": ({"hostNetwork": True, "port": 9439}, "http://localhost:9439/metrics", False),
    "both": ({"hostNetwork": True, "web": TOKEN}, "http://localhost:9435/metrics", True),
    "a login": ({"web": {**TOKEN, "config": {"existingSecret": "web"}}}, None, False),
    "a path": ({"web": TOKEN, "config": {"web": {"telemetry_path": "/own"}}}, "http://perflens-local:9435/own", True),
}


def flags(objects: Objects) -> argparse.Namespace:
    """Parse the pod's flags as the command does, but for those of the configuration."""
    parser = argparse.ArgumentParser()
    selftest.register(parser)
    parser.add_argument("--config.file", dest="config")
    return parser.parse_args(objects.container(*POD)["args"])


@pytest.mark.parametrize("case", MODES)
def test_way_to_an_agent(case: str) -> None:
    """It asks the agent of its node where that answers, else it attaches probes of its own with the agents' configuration."""
    values, url, sends_token = MODES[case]
    objects = chart(values)

    found = flags(objects)

    assert found.url == url
    assert found.client_token_file == ("/etc/perflens/api-token/token" if sends_token else "")
    assert found.config == (None if url else "/etc/perflens/config/perflens.yaml")
    assert objects.pod(*POD).get("hostNetwork", False) is values.get("hostNetwork", False)
    assert ("perflens-local" in objects.names("Service")) is (url is not None and "perflens-local" in url)


def test_service_stays_on_the_node() -> None:
    """The Service by which it asks leads to the agent of its own node: only that one counts its work."""
    service = chart({"web": TOKEN}).of("Service", "perflens-local")["spec"]

    assert service["internalTrafficPolicy"] == "Local"
    assert service["selector"]["app.kubernetes.io/component"] == "agent"


def test_it_is_where_an_agent_is() -> None:
    """It runs once, as a test, beside an agent, with an agent's rights and no more."""
    objects = chart()
    pod, agent = objects.of(*POD), objects.of("DaemonSet")
    (term,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == agent["spec"]["selector"]["matchLabels"]
    assert objects.container(*POD)["securityContext"] == objects.container()["securityContext"]
    assert objects.container(*POD)["image"] == objects.container()["image"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert objects.pod(*POD)["tolerations"] == objects.pod()["tolerations"]


def test_its_probes_have_what_the_agents_have() -> None:
    """Where it attaches probes of its own, it has tracefs, mounts, variables and flags of the agents; where it asks one, it needs none."""
    more: dict[str, Any] = {
        "tracefs": {"enabled": True},
        "extraVolumes": [{"name": "modules", "hostPath": {"path": "/lib/modules"}}],
        "extraVolumeMounts": [{"name": "modules", "mountPath": "/lib/modules"}],
        "extraEnv": [{"name": "PERFLENS_LOADER", "value": "bcc"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraArgs": ["--web.listen-address=$(POD_IP):1"],
    }
    objects = chart(more)
    own, agent, remote = objects.container(*POD), objects.container(), chart({**more, "web": TOKEN}).container(*POD)

    assert {"/sys/kernel/tracing", "/lib/modules"} <= objects.mounts(*POD).keys()
    assert {"NODE_NAME", "POD_IP", "PERFLENS_LOADER"} == {one["name"] for one in own["env"]}
    assert all(one in agent["env"] for one in own["env"])
    assert own["envFrom"] == agent["envFrom"]
    assert own["args"][-1] == agent["args"][-1]
    assert not {"env", "envFrom"} & remote.keys()
    assert {mount["name"] for mount in remote["volumeMounts"]} == {"config", "scratch", "cgroup", "api-token"}


def test_it_writes_to_its_own_folder() -> None:
    """The scratch files lie in an emptyDir, which is on the node's disk; the cgroups of the node stay as they are."""
    mounts = chart().mounts(*POD)

    assert flags(chart()).dir == "/scratch"
    assert mounts["/scratch"]["emptyDir"] == {"sizeLimit": "256Mi"}
    assert mounts["/sys/fs/cgroup"]["readOnly"] is True


def test_time_and_memory() -> None:
    """It has the seconds of the values, and the memory of an agent unless the values say otherwise."""
    objects = chart({"selftest": {"timeout": 300}})

    assert flags(objects).timeout == "300"
    assert objects.pod(*POD)["activeDeadlineSeconds"] == 420
    assert objects.container(*POD)["resources"]["limits"] == objects.container()["resources"]["limits"]
    own = chart({"selftest": {"resources": {"limits": {"memory": "1Gi"}}}})
    assert own.container(*POD)["resources"]["limits"] == {"memory": "1Gi"}


def test_it_can_be_left_out() -> None:
    """Without it there is no pod and no Service for it."""
    objects = chart({"selftest": {"enabled": False}, "web": TOKEN})

    assert objects.names("Pod") == set()
    assert "perflens-local" not in objects.names("Service")
