"""export/otlp/text.py: whatever the kernel holds becomes printable text."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.export.otlp.text import LONGEST_STACK, cleaned, stack


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ""),
        (b"/srv/a b", "/srv/a b"),
        ("/srv/grün/名".encode(), "/srv/grün/名"),
        (b"/srv/\xff\xfe", r"/srv/\xff\xfe"),
        (b"a\nb\x1b[31m\x00\x7f", r"a\nb".replace(r"\n", r"\x0a") + r"\x1b[31m\x00\x7f"),
        ("\u202egnp.exe\u2028".encode(), r"\u202egnp.exe\u2028"),
        (rb"dev-disk\x2dby", r"dev-disk\x2dby"),
        ("\U000e0001".encode(), r"\U000e0001"),
    ],
)
def test_escapes(raw: bytes, expected: str) -> None:
    """Bytes that are no text and characters that cannot be seen are written out."""
    assert cleaned(os.fsdecode(raw), 100) == expected


@given(st.binary(max_size=60), st.integers(1, 20))
def test_always_valid(raw: bytes, longest: int) -> None:
    """Any name becomes valid UTF-8 of one printable line, not longer than allowed."""
    text = cleaned(os.fsdecode(raw), longest)
    assert text.encode().decode() == text
    assert text.isprintable()
    assert len(text) <= longest


@pytest.mark.parametrize(("text", "expected"), [("abcd", "abcd"), ("abcde", "abc…"), ("\x00", r"\x00"), ("a\x00", "a\\x…")])
def test_cut(text: str, expected: str) -> None:
    """What is too long ends with an ellipsis."""
    assert cleaned(text, 4) == expected


def test_stack() -> None:
    """A frame is one line, whatever its symbol is called."""
    assert stack(["a+0x1", "b+0x2"]) == "a+0x1\nb+0x2"
    assert stack(["evil\nforged+0x1", "b\udcff"]) == "evil\\x0aforged+0x1\nb\\xff"
    assert stack([]) == ""


def test_long_stack() -> None:
    """A stack that is too long keeps its inner frames, whole."""
    frames = [f"{number:04}" + "f" * 96 for number in range(400)]
    lines = stack(frames).split("\n")
    assert len(stack(frames)) <= LONGEST_STACK
    assert lines[-1] == "…"
    assert lines[:-1] == frames[: len(lines) - 1]
    assert len(lines) > 160
    assert stack(["x" * 20_000]) == "…"
