"""What the chart makes of values, by kind and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helm.build import CHART, Manifest, render

__all__ = ["RELEASE", "TOKEN", "VARIANTS", "VERSION", "Objects", "agent_args", "chart", "values_of_variant"]

RELEASE = "perflens"
VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
VARIANTS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
TOKEN: Mapping[str, Any] = {"web": {"apiToken": {"existingSecret": "api"}}}


@dataclass(frozen=True)
class Objects:
    """The rendered objects."""

    all: tuple[Manifest, ...]

    def of(self, kind: str, name: str = RELEASE) -> Manifest:
        """Return the one of a kind and a name."""
        found = [own for own in self.all if (own["kind"], own["metadata"]["name"]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} of {kind} {name} among {self.names()}"
        return found[0]

    def names(self, kind: str = "") -> set[str]:
        """Return the names of a kind, or kind and name of all."""
        if kind:
            return {own["metadata"]["name"] for own in self.all if own["kind"] == kind}
        return {f"{own['kind']}/{own['metadata']['name']}" for own in self.all}

    def pod(self, kind: str = "DaemonSet", name: str = RELEASE) -> Manifest:
        """Return the spec of a workload's pod."""
        own = self.of(kind, name)
        spec: Manifest = own["spec"] if kind == "Pod" else own["spec"]["template"]["spec"]
        return spec

    def container(self, kind: str = "DaemonSet", name: str = RELEASE) -> Manifest:
        """Return the one container of it."""
        (own,) = self.pod(kind, name)["containers"]
        found: Manifest = own
        return found

    def config(self, name: str = RELEASE) -> Any:
        """Return the configuration file in a ConfigMap, parsed."""
        return yaml.safe_load(self.of("ConfigMap", name)["data"]["perflens.yaml"])

    def mounts(self, kind: str = "DaemonSet", name: str = RELEASE) -> dict[str, Manifest]:
        """Return the mounts of the container by their path, each with the volume's source."""
        sources = {own["name"]: own for own in self.pod(kind, name)["volumes"]}
        return {own["mountPath"]: {**sources[own["name"]], **own} for own in self.container(kind, name)["volumeMounts"]}


def chart(values: Mapping[str, Any] | None = None, *, name: str = RELEASE, namespace: str = "perflens") -> Objects:
    """Render with these values."""
    return Objects(tuple(render(values, name=name, namespace=namespace)))


def values_of_variant(name: str) -> dict[str, Any]:
    """Return the values of ci/NAME-values.yaml."""
    found: dict[str, Any] = yaml.safe_load(Path(CHART, "ci", f"{name}-values.yaml").read_text())
    return found


def agent_args(objects: Objects) -> list[str]:
    """Return the agent's flags."""
    found: list[str] = objects.container()["args"]
    return found


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a tree of maps with its dotted key, inner maps too."""
    for key, own in value.items():
        yield f"{path}{key}", own
        if isinstance(own, dict):
            yield from walk(own, f"{path}{key}.")
