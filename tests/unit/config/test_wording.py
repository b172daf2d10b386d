"""config/wording.py: quotes and cures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perflens.config.wording import either, one_line, printable, quoted, suggestion


@given(st.text(st.characters(exclude_categories=())))
def test_printable(text: str) -> None:
    """Whatever is quoted, its quote is printable and of bounded length."""
    assert quoted(text).isprintable()
    assert len(quoted(text)) <= 700
    assert printable(text).isprintable()
    assert printable(text)
    assert one_line(text).isprintable()


def test_cures() -> None:
    """The nearest name is proposed whatever its case, else the general cure."""
    assert suggestion("LEVLE", ["level", "limit"], "see --help") == "did you mean level?"
    assert suggestion("colour", ["level", "limit"], "see --help") == "see --help"
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a, b or c"
