"""A list of objects, read one after the other: all at once they would take ten times as much memory as their text."""

from __future__ import annotations

import re
from collections.abc import Callable
from json import JSONDecoder
from typing import Any

__all__ = ["read_list"]

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = JSONDecoder().raw_decode


def read_list(text: str, take: Callable[[Any], None]) -> dict[str, Any]:
    """Hand over each of a list's ``items``; return the list without them. ValueError when it is no list of JSON."""
    found: dict[str, Any] = {}
    at, has_more = _opened(text, _past(text, 0, "{"), "}")
    while has_more:
        key, at = _value(text, at)
        at = _past(text, at, ":")
        if key == "items" and text.startswith("[", at):
            at = _read_items(text, _past(text, at, "["), take)
        else:
            found[key], at = _value(text, at)
        at, has_more = _next(text, at, "}")
    if at != len(text):
        raise ValueError("more than a list")
    return found


def _read_items(text: str, at: int, take: Callable[[Any], None]) -> int:
    at, has_more = _opened(text, at, "]")
    while has_more:
        item, at = _value(text, at)
        take(item)
        at, has_more = _next(text, at, "]")
    return at


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _decode(text, at)
    except RecursionError:
        raise ValueError("too deep") from None


def _opened(text: str, at: int, end: str) -> tuple[int, bool]:
    """Where the first value begins, and whether there is one."""
    return (_past(text, at, end), False) if text.startswith(end, at) else (at, True)


def _next(text: str, at: int, end: str) -> tuple[int, bool]:
    """Where the next value begins, and whether there is one."""
    at = _spaced(text, at)
    return (_past(text, at, end), False) if text.startswith(end, at) else (_past(text, at, ","), True)


def _past(text: str, at: int, wanted: str) -> int:
    at = _spaced(text, at)
    if not text.startswith(wanted, at):
        raise ValueError(f"no {wanted}")
    return _spaced(text, at + 1)


def _spaced(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
