"""enrich/kubernetes/lines.py: lines out of pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.enrich.kubernetes.lines import Lines, LineTooLong


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda own: b"\n" not in own)), st.integers(1, 7))
def test_pieces_of_any_size(wanted: list[bytes], size: int) -> None:
    """Lines are whole wherever the pieces are cut."""
    lines, text = Lines(9), b"".join(own + b"\n" for own in wanted)

    assert [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])] == wanted


def test_a_line_without_an_end() -> None:
    """A line that is too long is refused before its end comes, the lines before it are not."""
    lines = Lines(4)

    assert list(lines.feed(b"\n\nabcd\nab")) == [b"abcd"]
    assert list(lines.feed(b"cd")) == []
    with pytest.raises(LineTooLong):
        list(lines.feed(b"e"))
