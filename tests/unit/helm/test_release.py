"""The workflow of a release: pinned, with few rights, and of the files and names that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.unit.helm.objects import chart

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def steps() -> list[dict[str, Any]]:
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_actions_are_pinned() -> None:
    """Each action is named by its commit, with the version beside it."""
    named = re.findall(r"uses: (.+)", TEXT)

    assert len(named) == len([step for step in steps() if "uses" in step])
    assert all(PINNED.fullmatch(own) for own in named)


def test_rights_are_few() -> None:
    """By default there are none; only who pushes writes packages, and only who signs has an identity."""
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()} == {
        "gate": {"contents": "read"},
        "image": {"contents": "read", "packages": "write", "id-token": "write"},
        "chart": {"contents": "read", "packages": "write", "id-token": "write"},
    }


def test_nothing_is_published_before_the_gate() -> None:
    """Image and chart wait for the gate, the chart for the image that it names."""
    assert WORKFLOW["jobs"]["image"]["needs"] == "gate"
    assert WORKFLOW["jobs"]["chart"]["needs"] == ["gate", "image"]


def test_image_is_built_for_both_architectures_with_its_parts_listed() -> None:
    """One image for both architectures, with SBOM and provenance, signed by digest."""
    (build,) = [step for step in steps() if step.get("id") == "build"]
    signs = [step["run"] for step in steps() if "cosign sign" in step.get("run", "")]

    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert (build["with"]["sbom"], build["with"]["provenance"], build["with"]["push"]) == (True, "mode=max", True)
    assert len(signs) == 2
    assert all(re.search(r'@\$\w+"', run, re.IGNORECASE) for run in signs)


def test_chart_names_the_image_of_the_release() -> None:
    """What is pushed is what the chart asks for: repository, and version as tag."""
    image = chart().container()["image"]

    assert image.startswith("ghcr.io/perflens/perflens:")
    assert WORKFLOW["env"]["IMAGE"] == "ghcr.io/${{ github.repository }}"
    assert "home: https://github.com/perflens/perflens" in (ROOT / "helm" / "perflens" / "Chart.yaml").read_text()


def test_the_version_check_holds_today() -> None:
    """What the gate looks for stands in package and chart as it is written there."""
    version = chart().container()["image"].rpartition(":")[2]

    assert f'\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()
    metadata = (ROOT / "helm" / "perflens" / "Chart.yaml").read_text().splitlines()
    assert {f"version: {version}", f"appVersion: {version}"} <= set(metadata)
