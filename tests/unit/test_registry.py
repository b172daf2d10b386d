"""registry.py: every module of perflens.probes is one probe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflens import probes
from perflens.errors import LayoutError
from perflens.probe import Probe
from perflens.registry import discover

GOOD = """
from perflens.probe import Histogram, Probe
PROBE = Probe(summary="s", operations="o", parts=(Histogram("a_seconds", help="h", object_label="fs"),), rungs=())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(probes, "__path__", [str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"perflens.probes.{path.stem}", None)


def test_every_module_is_a_probe() -> None:
    """The probes that are shipped are found by their modules' names."""
    found = discover()

    assert list(found) == sorted(path.stem for path in Path(probes.__path__[0]).glob("*.py") if path.stem != "__init__")
    assert all(isinstance(probe, Probe) for probe in found.values())


def test_new_module_is_found(folder: Path) -> None:
    """A file more is a probe more, in alphabetical order."""
    (folder / "zebra.py").write_text(GOOD)
    (folder / "aardvark.py").write_text(GOOD)

    assert list(discover()) == ["aardvark", "zebra"]


def test_names_cannot_be_changed() -> None:
    """The catalogue is read-only."""
    with pytest.raises(TypeError):
        discover()["other"] = None  # type: ignore[index]


@pytest.mark.parametrize("text", ["", "PROBE = 1", "probe = None"])
def test_module_without_a_probe(folder: Path, text: str) -> None:
    """A module without a PROBE is refused by its name."""
    (folder / "broken.py").write_text(text)
    with pytest.raises(LayoutError, match=r"^perflens\.probes\.broken has no PROBE$"):
        discover()
