"""What is written from other files is up to date: rules, dashboards and README of the chart, and the plain manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from helm import build
from helm.readme import Value, values_of
from tests.unit.helm.objects import chart

ROOT = Path(__file__).parents[3]


def test_everything_is_up_to_date() -> None:
    """Nothing differs from what `make chart` would write, and nothing lies beside it."""
    assert [str(path) for path, _ in build.stale()] == [], "run make chart"


def test_chart_has_what_grafana_has() -> None:
    """The copies in the chart are the rules and dashboards, byte for byte, each of them."""
    rules, dashboards = build.CHART / "files" / "rules", build.CHART / "files" / "dashboards"

    assert (rules / "perflens.yaml").read_text() == (ROOT / "grafana" / "rules" / "perflens.yaml").read_text()
    assert {path.name: path.read_text() for path in dashboards.iterdir()} == {
        path.name: path.read_text() for path in (ROOT / "grafana" / "dashboards").glob("*.json")
    }


def test_drift_is_seen_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A manifest that was changed or is not wanted is named with what to do, and put right on demand."""
    monkeypatch.setattr(build, "MANIFESTS", tmp_path / "deploy")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "chart_files", lambda: iter(()))
    assert build.main([]) == 0
    changed, beside = tmp_path / "deploy" / "daemonset.yaml", tmp_path / "deploy" / "old.yaml"
    wanted = changed.read_text()
    changed.write_text(wanted.replace("hostPID: true", "hostPID: false"))
    beside.touch()
    capsys.readouterr()

    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "deploy/daemonset.yaml is out of date: run make chart",
        "deploy/old.yaml is out of date: run make chart",
    ]
    assert build.main([]) == 0
    assert changed.read_text() == wanted
    assert not beside.exists()
    assert build.main(["--check"]) == 0


def test_plain_manifests_are_the_chart_s() -> None:
    """They are the objects of the default values in a namespace that lets them in, without what is Helm's alone."""
    plain = {path.name: yaml.safe_load(path.read_text()) for path in build.MANIFESTS.glob("*.yaml")}
    kustomization = plain.pop("kustomization.yaml")
    objects = [own for own in chart().all if own["kind"] != "Pod"]

    assert sorted(kustomization["resources"]) == sorted(plain)
    assert kustomization["resources"][0] == "namespace.yaml"
    assert plain["namespace.yaml"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert {own["kind"] for own in plain.values()} == {"Namespace", *(own["kind"] for own in objects)}
    assert len(plain) == len(objects) + 1
    assert plain["daemonset.yaml"]["spec"]["template"]["spec"] == chart().pod()
    assert "helm.sh" not in str(plain)


def test_description_of_a_value() -> None:
    """A comment `# --` right above a key describes it with all that is in it; other comments do not."""
    text = "# -- One\na: 1\nb:\n  # aside\n  c: x\n  # -- The d\n  d: {e: true}\n# -- Gone\n\nf: []\n"

    assert list(values_of(text)) == [Value("a", "number", "1", "One"), Value("b.d", "map", '{"e": true}', "The d")]


def test_versions_are_one() -> None:
    """Chart, image and agent have the version of the package."""
    import tomllib

    metadata = yaml.safe_load((build.CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert (metadata["version"], metadata["appVersion"]) == (version, version)
