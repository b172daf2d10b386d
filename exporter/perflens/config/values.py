"""A text that the user wrote, as the value of a key: the same rules for the file, the flags and the environment."""

from __future__ import annotations

import re
from typing import Any

from perflens.config.durations import formatted, nanoseconds
from perflens.config.keys import Key
from perflens.config.rules import RULES
from perflens.config.wording import Refused, either, quoted

__all__ = ["cure", "parsed", "written"]

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
DIGITS = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def parsed(key: Key, text: str) -> Any:
    """The value that a text stands for (of a list: one item); raises Refused."""
    return PARSERS[key.kind](key, text)


def written(key: Key, value: Any) -> str:
    """A value as people write it; the inverse of ``parsed``."""
    match key.kind:
        case "boolean":
            return "true" if value else "false"
        case "duration":
            return formatted(value)
        case "list":
            return ", ".join(value)
    return str(value)


def cure(key: Key) -> str:
    """What to write for a key."""
    match key.kind:
        case "boolean":
            return "write true or false"
        case "choice":
            return f"write {either(key.choices)}"
        case "integer":
            return f"write a whole number {span(key)}"
        case "duration":
            return f"write a duration {span(key)}, such as {formatted(key.default or 5_000_000)}"
    return RULES[key.path].cure


def span(key: Key) -> str:
    assert key.limits, key.dotted
    low, high = (str(limit) if key.kind == "integer" else formatted(limit) for limit in key.limits)
    return f"from {low} to {high}"


def boolean(key: Key, text: str) -> bool:
    if text not in ("true", "false"):
        raise Refused(f"{quoted(text)} is not a boolean", cure(key))
    return text == "true"


def integer(key: Key, text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a plain decimal number", cure(key))
    return within(key, int(text), text)


def duration(key: Key, text: str) -> int:
    if DIGITS.fullmatch(text):
        raise Refused(f"{quoted(text)} has no unit", cure(key))
    value = nanoseconds(text)
    if value is None:
        raise Refused(f"{quoted(text)} is not a duration", cure(key))
    return within(key, value, text)


def within(key: Key, value: int, text: str) -> int:
    if key.limits and not key.limits[0] <= value <= key.limits[1]:
        raise Refused(f"{quoted(text)} is out of range", cure(key))
    return value


def choice(key: Key, text: str) -> str:
    if text not in key.choices:
        what = "the probe has no rung" if key.path[-1] == "attach" else "unknown value"
        raise Refused(f"{what} {quoted(text)}", cure(key))
    return text


def plain(key: Key, text: str) -> str:
    shown = "the value" if key.path[-1].endswith("token_file") else quoted(text)  # it may be the token
    if not text.isprintable():
        raise Refused(f"{shown} has a character that cannot be printed", "leave it out")
    rule = RULES[key.path]
    if not rule.accepts(text):
        raise Refused(f"{shown} {rule.message}", rule.cure)
    return text


PARSERS = {"boolean": boolean, "integer": integer, "duration": duration, "choice": choice, "text": plain, "list": plain}
