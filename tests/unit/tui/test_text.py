"""tui/text.py: what others wrote is safe to show, and its width is known."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from perflens.tui.text import clean, fit, fit_left, width, wrap


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgres", "postgres"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\tb\nc\x00", "a\\x09b\\x0ac\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("e\u0301", "e\\u0301"),
        ("\U0001f1e9\U0001f1ea", "\\U0001f1e9\\U0001f1ea"),
        ("日本", "日本"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(given: str, shown: str) -> None:
    """Controls, bidi marks, combining and unsettled characters are escaped; wide ones and markup are text."""
    assert clean(given) == shown


def test_every_character_that_is_kept_has_the_width_that_is_drawn() -> None:
    """Of all of Unicode, what is not escaped takes as many cells here as in the library that draws it."""
    kept = [character for character in map(chr, range(sys.maxunicode + 1)) if clean(character) == character]

    assert len(kept) > 100_000
    assert [hex(ord(own)) for own in kept if width(own) != cell_len(own)] == []


def test_long_text_is_cut() -> None:
    """A name of any length takes a bounded one."""
    assert clean("x" * 1000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("text", "cells", "right", "left"),
    [
        ("abc", 5, "abc  ", "abc  "),
        ("abcdef", 4, "abc…", "…def"),
        ("日本語", 4, "日… ", "…語 "),
        ("abc", 1, "…", "…"),
        ("abc", 0, "", ""),
    ],
)
def test_text_is_made_to_fit(text: str, cells: int, right: str, left: str) -> None:
    """Text is cut at one end, never through a wide character, and takes exactly its room."""
    assert (fit(text, cells), fit_left(text, cells)) == (right, left)


def test_numbers_stand_at_the_right() -> None:
    """Alignment to the right fills at the left."""
    assert fit("7", 3, ">") == "  7"


@given(st.text(max_size=40).map(clean), st.integers(0, 30))
def test_whatever_it_is_it_takes_its_room(text: str, cells: int) -> None:
    """Any text of others takes exactly the cells that it is given."""
    assert width(fit(text, cells)) == width(fit_left(text, cells)) == cells


def test_wrapping() -> None:
    """Text is broken at spaces, words that are too long anywhere, and no more lines come than are wanted."""
    assert wrap("the quick brown fox", 9) == ["the quick", "brown fox"]
    assert wrap("abcdefghij kl", 4) == ["abcd", "efgh", "ij", "kl"]
    assert wrap("a b c d", 1, 2) == ["a", "b"]
    assert wrap("", 5) == []
