"""Owners with names that were made to do harm, and names that are too long for the kernel side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kernel.support import OPERATIONS, Group, closed_ledger, owner_tree, remove, wait

HOSTILE = [
    b'quote"d',
    b"back\\slash\\",
    b"per%cent %s %d",
    b"brace{d}",
    b"not utf-8 \xff\xfe",
    b"<script>alert(1)<script>",
    b"\x1b[31mred\x1b[0m",
    "ünïcode ☃".encode(),
    b'unit="other",x="',
]


def _units(text: str) -> dict[str, float]:
    """The reads of each owner, as a parser of the format sees them."""
    return {
        sample.labels["unit"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{OPERATIONS}_count" and sample.labels["operation"] == "read"
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_label_value(url: str, data_file: Path, name: bytes) -> None:
    """Whatever bytes a cgroup is called, the page parses, the name comes back, and what is no text is escaped in it."""
    folder = owner_tree() / os.fsdecode(name)
    folder.mkdir()
    fd = os.open(data_file, os.O_RDONLY)
    try:
        wait(Group(folder).run(lambda: [os.pread(fd, 1, 0) for _ in range(23)]))
        page = closed_ledger(url)
    finally:
        remove(folder)
        os.close(fd)

    assert _units(page.text)["/" + name.decode("utf-8", "backslashreplace").replace("\x1b", "\\x1b")] == 23
    assert "\x1b" not in page.text


def test_a_path_that_is_too_long_is_looked_up(url: str, data_file: Path) -> None:
    """Below eight levels of long names the path is read from the cgroup tree, cut at its root's end, and counted."""
    folders = [owner_tree() / f"{'a' * 80}{os.getpid()}"]
    for _ in range(7):
        folders.append(folders[-1] / ("b" * 80))
    folders.append(folders[-1] / "leaf")
    for folder in folders:
        folder.mkdir()
    fd = os.open(data_file, os.O_RDONLY)
    before = closed_ledger(url)
    try:
        wait(Group(folders[-1]).run(lambda: [os.pread(fd, 1, 0) for _ in range(23)]))
        page = closed_ledger(url)
    finally:
        for folder in reversed(folders):
            remove(folder)
        os.close(fd)
    found = [unit for unit, value in _units(page.text).items() if unit.endswith("/leaf") and value == 23]

    assert len(found) == 1
    assert found[0].startswith("…")
    assert len(found[0]) <= 256
    assert page.total("perflens_probe_name_truncated_total") > before.total("perflens_probe_name_truncated_total")
