"""reports/folded.py and flamegraph.py: stacks as folded stacks and as a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from perflens.reports.flamegraph import svg
from perflens.reports.folded import Kind, Weight, folded, text
from tests.unit.reports.answers import stack

KERNEL = ("io_schedule+0x1a", "folio_wait+0x2 [ext4]", "vfs_read+0x9")
USER = ("read+0xd [libc.so.6]", "main+0x10 [db]")
STACKS = [
    stack(2, 20_000_000, KERNEL, USER),
    stack(1, 5_000_600, tuple(frame.replace("+0x", "+0xf") for frame in KERNEL), USER),
    stack(3, 1_000_400, KERNEL, ("write+0xd",), operation="write", owner=""),
]
K = "vfs_read_[k];folio_wait [ext4]_[k];io_schedule_[k]"


@pytest.mark.parametrize(
    ("kind", "weight", "expected"),
    [
        ("both", "time", f"a.service;file.read;main [db];read [libc.so.6];{K} 25001\n-;file.write;write;{K} 1000\n"),
        ("both", "count", f"-;file.write;write;{K} 3\na.service;file.read;main [db];read [libc.so.6];{K} 3\n"),
        ("kernel", "time", f"a.service;file.read;{K} 25001\n-;file.write;{K} 1000\n"),
        ("user", "time", "a.service;file.read;main [db];read [libc.so.6] 25001\n-;file.write;write 1000\n"),
    ],
)
def test_folded(kind: Kind, weight: Weight, expected: str) -> None:
    """Outermost first, offsets left out, the same functions as one; µs of slow time, or operations."""
    assert text(folded(STACKS, kind, weight), weight) == expected


def test_sum_is_whole() -> None:
    """A stack without frames of the kind keeps its time."""
    bare = [*STACKS, stack(1, 7_000_000, (), USER), stack(1, 9_000_000, KERNEL)]
    for kind in ("both", "kernel", "user"):
        assert sum(folded(bare, kind).values()) == 42_001_000
    assert folded([stack(1, 7, (), USER)], "kernel") == {("a.service", "file.read"): 7}


def test_hostile_names() -> None:
    """No name ends its frame or its line."""
    found = text(folded([stack(1, 5_000, ("f;g\n+0x1",), ("\x1b]0;x\x07+0x2 [a b]",), owner="u;v")]))

    assert found == "u:v;file.read;\\x1b]0:x\\x07 [a b];f:g\\x0a_[k] 5\n"


def test_deep_stacks_are_cut() -> None:
    """A stack of a damaged capsule does not exhaust the drawing."""
    ((frames, value),) = folded([stack(1, 5_000, ("k",) * 10_000, ("u",) * 10_000)]).items()
    assert (len(frames), value) == (2 + 127 + 127, 5_000)
    assert parsed(svg({frames: value}, "t")) is not None


NS = "{http://www.w3.org/2000/svg}"


def parsed(page: str) -> ElementTree.Element:
    """The document; an error where it is not well-formed."""
    return ElementTree.fromstring(page)  # noqa: S314  (it is our own)


def boxes(page: str) -> dict[str, dict[str, Any]]:
    """Title to where it is, in pixels, and what colour it has."""
    found = {}
    for group in parsed(page).iter(f"{NS}g"):
        title, rect = group.find(f"{NS}title"), group.find(f"{NS}rect")
        assert title is not None
        assert rect is not None
        found[str(title.text)] = {name: rect.get(name) for name in ("x", "y", "width", "fill")} | {"n": group.get("data-n")}
    return found


def test_svg() -> None:
    """The width of a box is its part of the time, below the frame that called it; titles tell the time."""
    found = boxes(svg(folded(STACKS, "user"), "slow"))

    assert {title: (own["x"], own["y"], own["width"]) for title, own in found.items()} == {
        "all: 26.0ms, 100.0 %": ("10.00", "58", "1199.50"),
        "-: 1.00ms, 3.8 %": ("10.00", "76", "45.67"),
        "file.write: 1.00ms, 3.8 %": ("10.00", "94", "45.67"),
        "write: 1.00ms, 3.8 %": ("10.00", "112", "45.67"),
        "a.service: 25.0ms, 96.2 %": ("56.17", "76", "1153.33"),
        "file.read: 25.0ms, 96.2 %": ("56.17", "94", "1153.33"),
        "main [db]: 25.0ms, 96.2 %": ("56.17", "112", "1153.33"),
        "read [libc.so.6]: 25.0ms, 96.2 %": ("56.17", "130", "1153.33"),
    }


def test_svg_of_counts() -> None:
    """Counts are told as operations."""
    assert "all: 6 operations, 100.0 %" in boxes(svg(folded(STACKS, "user", "count"), "slow", "count"))


def test_kinds_have_colours_of_their_own() -> None:
    """Kernel, program and owner are told apart by their colours: blue, orange and grey."""
    fills = {own["n"]: own["fill"] for own in boxes(svg(folded(STACKS), "slow")).values()}
    red, _, blue = ([int(fills[name][at : at + 2], 16) for name in ("main [db]", "vfs_read", "a.service")] for at in (1, 3, 5))

    assert red[0] > blue[0] + 50
    assert blue[1] > red[1] + 50
    assert red[2] == blue[2]


def test_svg_is_safe() -> None:
    """Names cannot break out of the document, which loads nothing from elsewhere."""
    evil = "</title><script>alert(1)</script>]]>\x00\ufffe&\"'"
    page = svg({(evil, "x"): 10}, evil)
    root = parsed(page)

    assert [element.tag for element in root.iter()].count(f"{NS}script") == 1
    assert evil.replace("\x00", "\\x00").replace("\ufffe", "\\ufffe") in {own["n"] for own in boxes(page).values()}
    assert re.findall(r"https?://[^\"]+|\b(?:href|src|import)\b", page) == ["http://www.w3.org/2000/svg"]


def test_nothing_to_show() -> None:
    """No stacks are an empty file, and an empty picture."""
    assert text(folded([])) == ""
    assert list(boxes(svg({}, "slow"))) == ["all: 0ns, 100.0 %"]
