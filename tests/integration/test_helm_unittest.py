"""The chart's own suites, run by helm-unittest as a user of the chart would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import component

pytestmark = pytest.mark.components

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "perflens"


@pytest.fixture(scope="module")
def unittest() -> str:
    """helm-unittest; without it, or Go to build it, the tests are skipped."""
    return str(component("helm-unittest"))


def run(unittest: str, chart: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([unittest, "--strict", str(chart)], capture_output=True, text=True, check=False)


def test_suites_pass(unittest: str) -> None:
    """Every suite of the chart passes."""
    done = run(unittest, CHART)

    assert done.returncode == 0, done.stdout
    assert f"Test Suites: {len(list((CHART / 'tests').glob('*_test.yaml')))} passed" in done.stdout


def test_suites_can_fail(unittest: str, tmp_path: Path) -> None:
    """A chart whose agents are privileged fails."""
    copy = shutil.copytree(CHART, tmp_path / "perflens")
    template = copy / "templates" / "_capabilities.tpl"
    template.write_text(template.read_text().replace('"privileged" false', '"privileged" true'))

    done = run(unittest, copy)

    assert done.returncode == 1
    assert "privileged" in done.stdout
