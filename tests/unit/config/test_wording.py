"""config/wording.py: quotes and cures."""

from __future__ import annotations

import pytest
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://admin:s3cret@host:3000/x", "'http://…@host:3000/x'"),
        ("https://admin:s/3@c@host", "'https://…@host'"),
        ("admin:s3cret@host:3000", "'…@host:3000'"),
        ("http://host:3000", "'http://host:3000'"),
        ("http://host:3000/?token=s3cret", "'http://host:3000/?…'"),
        ("/user.slice/user@1000.service", "'/user.slice/user@1000.service'"),
        ("user@1000.service", "'user@1000.service'"),
    ],
)
def test_passwords_are_not_repeated(text: str, shown: str) -> None:
    """What stands before the host of a URL is in no error: a log and an answer of the agent tell it."""
    assert quoted(text) == shown


def test_cures() -> None:
    """The nearest name is proposed whatever its case, else the general cure."""
    assert suggestion("LEVLE", ["level", "limit"], "see --help") == "did you mean level?"
    assert suggestion("colour", ["level", "limit"], "see --help") == "see --help"
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a, b or c"
