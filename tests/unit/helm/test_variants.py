"""Every variant in ci/ is linted, rendered and looked at as the API servers of all versions would."""

from __future__ import annotations

import helm_python
import kubernetes_validate
import pytest
from kubernetes_validate.utils import all_versions

from helm.build import CHART, MANIFESTS, Manifest
from tests.unit.helm.objects import RELEASE, VARIANTS, VERSION, chart, values_of_variant

OF_OPERATORS = {"PodMonitor", "PrometheusRule", "SecurityContextConstraints", "ServiceMonitor"}
OLDEST = (1, 28)
VERSIONS = sorted(
    {".".join(own.split(".")[:2]) for own in all_versions() if tuple(map(int, own.split(".")[:2])) >= OLDEST},
    key=lambda own: int(own.split(".")[1]),
)
NEW = {"appArmorProfile": (1, 30)}  # fields that the schemas of older versions do not have, by the first that does


def test_versions_reach_from_the_oldest_to_the_newest() -> None:
    """There are schemas from the oldest version that the chart installs on."""
    assert VERSIONS[0] == "1.28"
    assert len(VERSIONS) >= 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_lint_finds_nothing(variant: str) -> None:
    """`helm lint --strict` has no error and no warning."""
    found = helm_python.lint(CHART, values_of_variant(variant), strict=True, kube_version="v1.36.0")

    assert [own for own in found["messages"] if own["severity"] > 1] == []
    assert found["errors"] == []


def without(manifest: Manifest, field: str) -> Manifest:
    """Leave a field of security contexts out."""
    template = manifest.get("spec", {}).get("template", {}).get("spec", manifest.get("spec", {}))
    for container in template.get("containers", []) if isinstance(template, dict) else []:
        container.get("securityContext", {}).pop(field, None)
    return manifest


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(variant: str, version: str) -> None:
    """Every object has the fields that its version of Kubernetes knows, with the right types, and no others."""
    number = tuple(map(int, version.split(".")))
    objects = [own for own in chart(values_of_variant(variant)).all if own["kind"] not in OF_OPERATORS]
    for manifest in objects:
        for field, since in NEW.items():
            if number < since:
                without(manifest, field)
        kubernetes_validate.validate(manifest, version, strict=True)

    assert len(objects) >= 5


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_manifests_are_valid(version: str) -> None:
    """So are the manifests for who has no Helm."""
    import yaml

    paths = [path for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml"]
    for path in paths:
        kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)

    assert len(paths) >= 7


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_are_unique(variant: str) -> None:
    """No two objects of a release are the same one."""
    values = values_of_variant(variant)
    values.setdefault("dashboards", {})["namespace"] = ""  # in that of the release
    found = chart(values).all
    keys = [(own["kind"], own["metadata"].get("namespace"), own["metadata"]["name"]) for own in found]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("variant", VARIANTS)
def test_objects_are_labelled(variant: str) -> None:
    """Whatever the chart makes itself says of which release it is, and lies in its namespace unless it is the cluster's."""
    values = values_of_variant(variant)
    extra = {own["metadata"]["name"] for own in values.get("extraManifests", [])}

    for own in chart(values, namespace="lens").all:
        if own["metadata"]["name"] in extra:
            continue
        assert own["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE
        assert own["metadata"]["labels"]["helm.sh/chart"] == f"perflens-{VERSION}"
        of_cluster = own["kind"].startswith("Cluster") or own["kind"] == "SecurityContextConstraints"
        assert ("namespace" in own["metadata"]) is not of_cluster


def test_notes_name_the_objects() -> None:
    """What is printed after the installation names this release's objects, and says that nobody scrapes yet."""
    with helm_python.Chart.load(CHART) as own:
        notes = own.render({}, name="prod", namespace="lens")["perflens/templates/NOTES.txt"]
        scraped = own.render({"podMonitor": {"enabled": True}}, name="prod", namespace="lens")["perflens/templates/NOTES.txt"]

    assert "kubectl -n lens rollout status daemonset/prod-perflens" in notes
    assert "helm -n lens test prod --logs" in notes
    assert "Nobody scrapes the agents yet" in notes
    assert "Nobody scrapes the agents yet" not in scraped
