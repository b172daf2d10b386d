"""The chart's way through a cluster: installed, tested, upgraded, rolled back, gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from perflens.capability import NAMES, NEEDS, needed
from tests.cluster.chart import CHART, SETTINGS, Release, installed
from tests.cluster.node import Cluster
from tests.servers import Prometheus, wait_for

TABLE = {own.name for own in NEEDS if own.name != "SYS_RESOURCE"}


def test_the_api_server_warns_of_nothing(release: Release) -> None:
    """Neither Helm nor the API server has something to say."""
    assert release.said == ""


def test_it_works_with_the_capabilities_of_the_table(release: Release) -> None:
    """Every probe attaches, and what only attaching took is dropped then."""
    (status,) = [own for own in _agents() if _set(own, "CapBnd") == TABLE]

    assert set(release.page().probes) == {"block", "file", "process"}
    assert _set(status, "CapEff") == needed(TABLE, maps=False)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)


def test_it_can_be_asked_in_its_pod(release: Release) -> None:
    """As the notes of the chart say: what the node offers, and what was slow."""
    found = json.loads(release.kubectl("exec", f"daemonset/{release.name}", "--", "perflens", "check", "--json"))
    log = release.kubectl("logs", release.pod())

    assert found
    assert "capabilities dropped" in log
    assert [line for line in log.splitlines() if "level=error" in line or "Traceback" in line] == []


def test_the_selftest_passes(release: Release) -> None:
    """`helm test` proves the numbers in a pod of its own."""
    said = release.helm("test", release.name, "--logs").stdout

    assert re.search(r"^Phase: +Succeeded$", said, re.MULTILINE), said


def test_prometheus_finds_it(release: Release, prometheus: Prometheus) -> None:
    """Through the monitor and the operator, as the job that rules and dashboards ask for."""
    wait_for(lambda: prometheus.query('up{job="perflens"} == 1'), 60, "the target is up", 1)

    assert [own["metric"]["node"] for own in prometheus.query("up")] == ["node-1"]


@pytest.mark.parametrize("command", [("upgrade", str(CHART), *SETTINGS, "--reuse-values", "--set=config.threshold=7ms"), ("rollback",)])
def test_another_revision_is_scraped(release: Release, prometheus: Prometheus, command: tuple[str, ...]) -> None:
    """It replaces the pod, and Prometheus finds the next one."""
    verb, *arguments = command
    before = release.pod()
    release.helm(verb, release.name, *arguments)
    release.rolled_out()

    assert release.pod() != before
    wait_for(lambda: prometheus.query(f'up{{instance="{release.address()}:9435"}} == 1'), 60, "it is scraped", 1)


def test_nothing_is_left(operator: Cluster, helm: Path) -> None:
    """After `helm uninstall` no object of the release is there, whatever it was."""
    everything = "--set=podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true,networkPolicy.enabled=true"
    with installed(operator, helm, "perflens-trial", everything, "--set=analyzer.enabled=true,web.apiToken.value=abcdefgh12345678") as own:
        kinds = operator.kubectl("api-resources", "--verbs=list", "--output=name").split()
        there = _objects(own, kinds)
        own.helm("uninstall", own.name, "--wait")
        wait_for(lambda: not _objects(own, kinds), 60, "all of it is gone", 1)
        assert own.kubectl("get", "secrets,configmaps", "--output=name").split() == ["configmap/kube-root-ca.crt"]

    assert {name.partition("/")[0] for name in there} >= {
        "daemonset.apps",
        "deployment.apps",
        "clusterrole.rbac.authorization.k8s.io",
        "networkpolicy.networking.k8s.io",
        "podmonitor.monitoring.coreos.com",
        "prometheusrule.monitoring.coreos.com",
        "configmap",
        "secret",
        "service",
        "serviceaccount",
    }


def _objects(own: Release, kinds: list[str]) -> list[str]:
    labels = f"--selector=app.kubernetes.io/instance={own.name}"
    return own.cluster.kubectl("get", ",".join(kinds), labels, "--all-namespaces", "--output=name", check=False).split()


def _agents() -> list[str]:
    """/proc/PID/status of every agent on this machine."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"perflens\0run\0" in (folder / "cmdline").read_bytes():
                found.append((folder / "status").read_text())
        except OSError:
            continue
    return found


def _set(status: str, name: str) -> set[str]:
    match = re.search(rf"^{name}:\t([0-9a-f]+)$", status, re.MULTILINE)
    assert match
    return {own for number, own in enumerate(NAMES) if int(match[1], 16) >> number & 1}
