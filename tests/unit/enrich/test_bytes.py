"""Cgroups whose names are no UTF-8: alive, named, and no danger to the page."""

from __future__ import annotations

import os
import platform
import struct
from pathlib import Path

import pytest

from perflens.decode.cells import cell_info_decoder
from perflens.enrich import cgroups
from perflens.enrich.cgroups import CgroupTree
from perflens.enrich.owners import Owners
from perflens.enrich.units import unit_of
from perflens.kernel.attached import object_path, object_types
from perflens.model import CellInfo

RAW = b"caf\xe9.service"


def noted(name: bytes) -> CellInfo:
    """What the kernel side notes of a cgroup below the root, decoded."""
    layout = object_types(object_path("file", platform.machine())).struct("cell_info")
    return cell_info_decoder(layout)(struct.pack("<32sII768s", b"xfs", len(name) + 1, 1, name + b"\0"))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CgroupTree:
    monkeypatch.setattr(cgroups, "_ROOT_INODE", tmp_path.stat().st_ino)
    (tmp_path / "cgroup.controllers").touch()
    os.mkdir(os.fsencode(tmp_path) + b"/" + RAW)
    return CgroupTree(str(tmp_path))


def number(tree: CgroupTree) -> int:
    return os.stat(os.fsencode(tree.point) + b"/" + RAW).st_ino


def test_it_is_not_gone(tree: CgroupTree) -> None:
    """A living cgroup is not taken for gone because of its name."""
    owners = Owners(tree)
    owners.resolve(number(tree), noted(RAW).path, complete=True)

    assert owners.gone() == []


def test_name_from_the_kernel() -> None:
    r"""Bytes that are no text are shown as \xNN."""
    assert unit_of(noted(RAW).path) == "caf\\xe9.service"


def test_name_from_the_tree(tree: CgroupTree) -> None:
    """A path that was looked up has the same name, which can be sent."""
    owner = Owners(tree).resolve(number(tree), (), complete=False)

    assert owner.unit == "caf\\xe9.service"
    assert owner.path.encode() == b"/caf\\xe9.service"


def test_partial_path(tree: CgroupTree) -> None:
    """What is left of a path is bounded, and can be sent too."""
    unit = Owners(tree).resolve(2**60, (*noted(RAW).path, *["x" * 200] * 2), complete=False).unit

    assert unit.encode()
    assert len(unit) <= 256
