"""The chart in a cluster, by Helm."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cluster.node import Cluster
from tests.kernel.support import Page, scrape

__all__ = ["CHART", "IMAGE", "SETTINGS", "Release", "installed"]

IMAGE = "localhost/perflens:test"
CHART = Path(__file__).resolve().parents[2] / "helm/perflens"
SETTINGS = ("--set=image.repository=localhost/perflens", "--set=image.tag=test", "--set=image.pullPolicy=Never")


@dataclass(frozen=True)
class Release:
    """A release of the chart, in a namespace of its own that has the same name; ``said`` is what its installation wrote to stderr."""

    cluster: Cluster
    program: Path
    name: str
    said: str = ""

    def helm(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.cluster.call(self.program, command, *arguments, f"--namespace={self.name}", check=check)

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments)

    def rolled_out(self) -> None:
        """Wait until every node has an agent that is ready."""
        self.kubectl("rollout", "status", f"daemonset/{self.name}", "--timeout=120s")

    def pod(self) -> str:
        """The name of its agent on the node."""
        labels = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=agent"
        pods = self.cluster.get("pods", f"--namespace={self.name}", f"--selector={labels}")["items"]
        (found,) = [own["metadata"]["name"] for own in pods if "deletionTimestamp" not in own["metadata"]]
        return str(found)

    def address(self) -> str:
        """That of its pod."""
        return str(self.cluster.get("pod", self.pod(), f"--namespace={self.name}")["status"]["podIP"])

    def page(self) -> Page:
        """What the agent tells who scrapes it."""
        return scrape(f"http://{self.address()}:9435/metrics")


@contextmanager
def installed(cluster: Cluster, program: Path, name: str, *settings: str) -> Iterator[Release]:
    """Install the chart as the documentation says, with the image that was built; it is gone at the end."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    own = Release(cluster, program, name)
    done = own.helm("install", name, str(CHART), *SETTINGS, *settings)
    try:
        own.rolled_out()
        yield replace(own, said=done.stderr)
    finally:
        own.helm("uninstall", name, "--wait", check=False)
        cluster.kubectl("delete", "namespace", name, "--timeout=60s")
