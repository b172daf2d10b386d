"""http/parameters.py: the query string of the API."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.http.parameters import PARAMETERS, BadParameter, Query, parse

EVERY = tuple(PARAMETERS)
SECOND = 10**9


def test_defaults() -> None:
    """Without parameters everything is asked for, 100 entries at most."""
    assert parse([], EVERY) == Query()
    assert (Query().limit, Query().seconds) == (100, 300)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("probe", "file", "file"),
        ("operation", "sync_range", "sync_range"),
        ("owner", "/a b/\udcff", "/a b/\udcff"),
        ("pid", "1", 1),
        ("pid", "4194304", 2**22),
        ("min_duration", "5ms", 5_000_000),
        ("min_duration", "0.005", 5_000_000),
        ("min_duration", "1.5s", 1_500_000_000),
        ("min_duration", "2h", 7_200 * SECOND),
        ("since", "1700000000.123456789", 1_700_000_000_123_456_789),
        ("since", "2023-11-14T22:13:20Z", 1_700_000_000 * SECOND),
        ("since", "2023-11-15T00:13:20.5+02:00", 1_700_000_000_500_000_000),
        ("since", "1960-01-01T00:00:00Z", 0),
        ("limit", "1000", 1_000),
        ("after", "18ab-0", (0x18AB, 0)),
        ("after", "ffffffffffffffff-999999999999999999", (2**64 - 1, 10**18 - 1)),
        ("in_progress", "true", True),
        ("in_progress", "false", False),
        ("seconds", "60", 60),
    ],
)
def test_values(name: str, text: str, value: Any) -> None:
    """Times and durations are exact to the nanosecond."""
    assert getattr(parse([(name, text)], EVERY), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("probe", ""),
        ("probe", "File"),
        ("probe", "f" * 65),
        ("operation", "<x>"),
        ("owner", ""),
        ("pid", "0"),
        ("pid", "-1"),
        ("pid", "4194305"),
        ("pid", "1e3"),
        ("pid", "٣"),
        ("pid", "9" * 5_000),
        ("min_duration", "5 ms"),
        ("min_duration", "-5ms"),
        ("min_duration", "inf"),
        ("after", "18ab"),
        ("after", "18AB-1"),
        ("after", "18ab--1"),
        ("after", "1" * 17 + "-1"),
        ("after", "1-" + "1" * 19),
        ("since", "yesterday"),
        ("since", "2023-11-14T22:13:20"),
        ("since", "-1"),
        ("since", "nan"),
        ("limit", "0"),
        ("limit", "1001"),
        ("in_progress", "yes"),
        ("in_progress", ""),
        ("seconds", "301"),
    ],
)
def test_values_that_cannot_be_used(name: str, text: str) -> None:
    """The message names the parameter and the cure, and shows no more than a part of a long value."""
    with pytest.raises(BadParameter) as caught:
        parse([(name, text)], EVERY)

    assert str(caught.value).startswith(f"parameter {name} cannot be ")
    assert str(caught.value).endswith(PARAMETERS[name].cure)
    assert len(str(caught.value)) < 250


def test_unknown_and_repeated() -> None:
    """A misspelt parameter does not ask for everything in silence."""
    with pytest.raises(BadParameter, match=r"unknown parameter 'opration'; use probe, limit"):
        parse([("opration", "read")], ("probe", "limit"))
    with pytest.raises(BadParameter, match=r"unknown parameter 'limit'; leave it out"):
        parse([("limit", "1")], ())
    with pytest.raises(BadParameter, match="limit was given twice"):
        parse([("limit", "1"), ("limit", "1")], EVERY)


@given(st.sampled_from(EVERY), st.text(st.characters(), max_size=40))
def test_any_text(name: str, text: str) -> None:
    """Whatever is sent is read or refused."""
    with suppress(BadParameter):
        assert isinstance(parse([(name, text)], EVERY), Query)
