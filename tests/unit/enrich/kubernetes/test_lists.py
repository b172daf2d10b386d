"""enrich/kubernetes/lists.py: a list, item by item."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.enrich.kubernetes.lists import read_list

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.lists(JSON, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_any_list(rest: dict[str, Any], items: list[Any], indent: int | str | None) -> None:
    """Whatever is in a list and however it is written, its items come one by one, and the rest is as it is."""
    found: list[Any] = []
    rest.pop("items", None)
    text = json.dumps({**rest, "items": items, "z": 1}, indent=indent)

    assert (read_list(text, found.append), found) == ({**rest, "z": 1}, items)


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]":,itemsx1 \n\\')))
def test_any_text(text: str) -> None:
    """What is no JSON is a ValueError, what is an object is read as any other reader reads it."""
    found: list[Any] = []
    try:
        rest = read_list(text, found.append)
    except ValueError:
        return
    whole = json.loads(text)
    assert isinstance(whole, dict)
    assert rest == {key: value for key, value in whole.items() if key in rest}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{", '{"items"', '{"items":', '{"items":[', '{"items":[1', '{"items":[1,', '{"items":[1]', "{} {}", "{,}", '{"a":1,}'],
)
def test_what_is_no_list(text: str) -> None:
    """A list that breaks off is none."""
    with pytest.raises(ValueError, match=r"."):
        read_list(text, lambda _: None)


def test_a_list_without_items() -> None:
    """Items that are null are none, and those of another kind are told as they are."""
    assert [read_list(text, lambda _: None) for text in ("{}", '{"items":null}', '{"items":{}}', ' {"items" : [ ] } \n')] == [
        {},
        {"items": None},
        {"items": {}},
        {},
    ]


def test_a_list_that_is_too_deep() -> None:
    """Depth is a ValueError, not the end of the stack."""
    with pytest.raises(ValueError, match="deep"):
        read_list('{"items":[' + "[" * 100_000, lambda _: None)
