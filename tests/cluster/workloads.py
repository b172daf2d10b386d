"""What runs in the cluster: pods of every kind, each of which writes as often as it is told, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.node import BUSYBOX

__all__ = ["NAMESPACE", "WRITES", "container", "controlled", "pod", "work"]

Manifest = dict[str, Any]
NAMESPACE = "shop"
WRITES = 37


def work(after: str = "sleep 3600") -> list[str]:
    """A command that writes so often to its volume, syncs once, and then does something else."""
    return ["sh", "-c", f"dd if=/bin/busybox of=/data/file bs=512 count={WRITES} conv=fsync && {after}"]


def container(name: str, command: Sequence[str], limits: Mapping[str, str] | None = None) -> Manifest:
    mounts = [{"name": "data", "mountPath": "/data"}]
    resources = {"limits": dict(limits)} if limits else {}
    return {
        "name": name,
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": list(command),
        "volumeMounts": mounts,
        "resources": resources,
    }


def spec(own: Manifest, volume: Mapping[str, Any] | None = None, **more: Any) -> Manifest:
    """A pod's, with one volume: an emptyDir, unless it is told."""
    found = {"name": "data", **(volume or {"emptyDir": {}})}
    return {"terminationGracePeriodSeconds": 0, "containers": [own], "volumes": [found], **more}


def pod(name: str, own: Manifest, volume: Mapping[str, Any] | None = None, namespace: str = NAMESPACE, **more: Any) -> Manifest:
    """A pod that nobody controls."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(own, volume, **more)}


def controlled(kind: str, name: str, own: Manifest, namespace: str = NAMESPACE, **more: Any) -> Manifest:
    """What makes one such pod."""
    labels = {"app": name}
    batch = kind == "Job"
    template = {"metadata": {"labels": labels}, "spec": spec(own, restartPolicy="Never" if batch else "Always")}
    selector = {} if batch else {"selector": {"matchLabels": labels}}
    return {
        "apiVersion": "batch/v1" if batch else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template, **selector, **more},
    }
