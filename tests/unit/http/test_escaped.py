"""http/escaped.py: JSON that is safe wherever it lands."""

from __future__ import annotations

import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.http.escaped import encode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('quote " and \\', r'"quote \" and \\"'),
        ("line\nfeed\t\0\x1b[2J\x7f", r'"line\nfeed\t\u0000\u001b[2J\u007f"'),
        ("</script>&", r'"\u003c/script\u003e\u0026"'),
        (os.fsdecode(b"a\xff\x80b"), r'"a\\xff\\x80b"'),
        ("\\\udcff", r'"\\\\xff"'),
        ("\\udcff", r'"\\udcff"'),
        ("\\\\udcff\udcfe", r'"\\\\udcff\\xfe"'),
        ("\U0001f600", r'"\ud83d\ude00"'),
        ("\U0001f600\udcff", r'"\ud83d\ude00\\xff"'),
        ("\ud800", r'"\\ud800"'),
        ("\ud800\ud800\udc00", None),
        ("\u2028\u202e", r'"\u2028\u202e"'),
    ],
)
def test_texts(text: str, expected: str | None) -> None:
    """Markup, control characters and bytes that are no UTF-8 are escaped, and stay what they were."""
    found = encode(text).decode("ascii")

    if expected is not None:
        assert found == expected + "\n"
    json.loads(found).encode("utf-8")


@given(
    st.recursive(
        st.text(st.characters(), max_size=20) | st.integers() | st.booleans() | st.none(),
        lambda own: st.lists(own) | st.dictionaries(st.text(st.characters()), own),
    )
)
def test_any_value(value: object) -> None:
    """The document is ASCII without markup or control characters, and holds no half of a pair."""
    text = encode(value).decode("ascii")
    assert not re.search("[<>&\x00-\x09\x0b-\x1f\x7f]", text)
    json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    if "\\ud" not in json.dumps(value):
        assert json.loads(text) == value


def test_long_name() -> None:
    """A path of 4 KiB of bad bytes is escaped whole."""
    assert json.loads(encode(os.fsdecode(b"\xff" * 4_096))) == "\\xff" * 4_096


def test_what_is_no_number() -> None:
    """NaN is no JSON."""
    with pytest.raises(ValueError, match="Out of range"):
        encode(float("nan"))
