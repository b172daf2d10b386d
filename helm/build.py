"""Writes what follows from other files: `python -m helm.build`, or `--check` that it is up to date.

The chart's copies of rules and dashboards come from grafana/, its README.md from the comments of values.yaml, and the plain manifests in
deploy/kubernetes from the chart with its default values.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

from helm.readme import readme

__all__ = ["CHART", "MANIFESTS", "chart_files", "main", "manifests", "render"]

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "perflens"
MANIFESTS = ROOT / "deploy" / "kubernetes"
NAMESPACE = "perflens"
NOTICE = "# Written by `make manifests` from helm/perflens with its default values: do not edit.\n"
_OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by")

Manifest = dict[str, Any]


def render(values: Mapping[str, Any] | None = None, *, name: str = "perflens", namespace: str = NAMESPACE) -> list[Manifest]:
    """Return the objects that the chart makes of these values, those of `helm test` too; HelmError when it refuses them."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(dict(values or {}), name=name, namespace=namespace)
    texts = (text for path, text in sorted(rendered.items()) if path.endswith(".yaml"))
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def chart_files() -> Iterator[tuple[Path, str]]:
    """Yield path and content of each file of the chart that follows from another one."""
    for source, target in (("rules/perflens.yaml", "rules"), ("dashboards/*.json", "dashboards")):
        for path in sorted((ROOT / "grafana").glob(source)):
            yield CHART / "files" / target / path.name, path.read_text()
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    yield CHART / "README.md", readme(metadata, (CHART / "values.yaml").read_text())


def manifests() -> Iterator[tuple[Path, str]]:
    """Yield path and content of each plain manifest, and of the kustomization that names them in the order of their making."""
    objects = [_namespace(), *(_plain(manifest) for manifest in render() if not _is_hook(manifest))]
    objects.sort(key=lambda own: own["kind"] != "Namespace")
    names = [f"{manifest['kind'].lower()}.yaml" for manifest in objects]
    for name, manifest in zip(names, objects, strict=True):
        yield MANIFESTS / name, NOTICE + _text(manifest)
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
    yield MANIFESTS / "kustomization.yaml", NOTICE + _text(kustomization)


def _namespace() -> Manifest:
    """One in which pods may see their node: Pod Security has no level between `baseline` and this."""
    labels = {"app.kubernetes.io/name": "perflens", "pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def _plain(manifest: Manifest) -> Manifest:
    """Leave out what only Helm needs."""
    for metadata in (manifest["metadata"], manifest.get("spec", {}).get("template", {}).get("metadata", {})):
        for label in _OF_HELM:
            metadata.get("labels", {}).pop(label, None)
    return manifest


class _Indented(yaml.SafeDumper):
    """Indents the items of a list below its key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(manifest: Manifest) -> str:
    return yaml.dump(manifest, Dumper=_Indented, sort_keys=False, width=140)


def stale(*, chart: bool = True, plain: bool = True) -> Iterator[tuple[Path, str]]:
    """Yield what is to be written because it differs, and with an empty content what is to be removed."""
    wanted = dict(chart_files()) if chart else {}
    if plain:
        wanted |= dict(manifests())
    for path, content in wanted.items():
        if not path.is_file() or path.read_text() != content:
            yield path, content
    folders = {path.parent for path in wanted} - {CHART}
    yield from ((path, "") for folder in sorted(folders) for path in sorted(folder.glob("*")) if path not in wanted)


def main(arguments: list[str] | None = None) -> int:
    """Write, or compare with `--check`: 1 when something is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only")
    checks = parser.parse_args(arguments).check
    # Manifests are rendered from the chart as it is on the disk, so its own files come first.
    found = [*_settle(checks, chart=True, plain=False), *_settle(checks, chart=False, plain=True)]
    for path in found:
        print(f"{path.relative_to(ROOT)} {'is out of date: run make chart' if checks else 'was written'}")
    return 1 if checks and found else 0


def _settle(checks: bool, *, chart: bool, plain: bool) -> list[Path]:
    found = list(stale(chart=chart, plain=plain))
    for path, content in () if checks else found:
        if content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        else:
            path.unlink()
    return [path for path, _ in found]


if __name__ == "__main__":
    sys.exit(main())
