"""enrich/kubernetes/workloads.py: what a user deployed."""

from __future__ import annotations

import pytest

from perflens.enrich.kubernetes.objects import NO_CONTROLLER, Controller, PodFacts
from perflens.enrich.kubernetes.workloads import has_controller_above, workload_of

UID = "0f6a5a3e-3c0e-4c1f-9a52-0d1c9b9b0a11"


def facts(name: str, group: str = "", kind: str = "", controller: str = "", template: str = "", static: bool = False) -> PodFacts:
    return PodFacts(UID, "shop", name, "node-1", Controller(group, kind, controller), template, static, {})


@pytest.mark.parametrize(
    ("pod", "above", "expected"),
    [
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9", "7d9"), Controller("apps", "Deployment", "web"), "Deployment/web"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9"), Controller("argoproj.io", "Rollout", "web"), "Rollout/web"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9", "7d9"), NO_CONTROLLER, "ReplicaSet/web-7d9"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9", "7d9"), None, "Deployment/web"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9", "8aa"), None, "ReplicaSet/web-7d9"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "7d9", "7d9"), None, "ReplicaSet/7d9"),
        (facts("web-7d9-x", "apps", "ReplicaSet", "web-7d9"), None, "ReplicaSet/web-7d9"),
        (facts("a", "batch", "Job", "backup-29384756"), Controller("batch", "CronJob", "backup"), "CronJob/backup"),
        (facts("a", "batch", "Job", "backup-29384756"), None, "CronJob/backup"),
        (facts("a", "batch", "Job", "backup-29384756"), NO_CONTROLLER, "Job/backup-29384756"),
        (facts("a", "batch", "Job", "backup-2938475"), None, "Job/backup-2938475"),
        (facts("a", "batch", "Job", "29384756"), None, "Job/29384756"),
        (facts("db-0", "apps", "StatefulSet", "db"), None, "StatefulSet/db"),
        (facts("a", "apps", "DaemonSet", "agent"), None, "DaemonSet/agent"),
        (facts("a", "", "ReplicationController", "old"), None, "ReplicationController/old"),
        (facts("a", "other.example", "ReplicaSet", "web-7d9", "7d9"), None, "ReplicaSet/web-7d9"),
        (facts("alone"), None, "Pod/alone"),
        (facts("etcd-node-1", "", "Node", "node-1", static=True), None, "Pod/etcd"),
        (facts("etcd", "", "Node", "node-1", static=True), None, "Pod/etcd"),
    ],
)
def test_workload(pod: PodFacts, above: Controller | None, expected: str) -> None:
    """A workload is the controller's controller where there is one, told by the API server or else by names."""
    assert workload_of(pod, above) == expected


def test_whose_controller_is_asked_for() -> None:
    """Only sets of replicas and jobs of Kubernetes itself may have a controller that is asked for."""
    asked = [Controller("apps", "ReplicaSet"), Controller("batch", "Job")]
    others = [Controller("apps", "DaemonSet"), Controller("other.example", "Job"), Controller("", "ReplicaSet"), NO_CONTROLLER]

    assert [has_controller_above(own) for own in (*asked, *others)] == [True] * 2 + [False] * 4
