"""The parameters of the API: read off the query string, and described for the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

__all__ = ["PARAMETERS", "BadParameter", "Parameter", "Query", "parse"]

_LONGEST_SHOWN = 64
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|ms|s|m|h)?", re.ASCII)
_UNIX = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_CURSOR = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,18})", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; what is empty or 0 asks for nothing. Durations in ns, ``since`` in ns since the epoch.

    ``after`` is (store, number) of a cursor.
    """

    probe: str = ""
    operation: str = ""
    owner: str = ""
    pid: int = 0
    min_duration: int = 0
    since: int = 0
    limit: int = 100
    in_progress: bool = False
    ended: bool = True
    seconds: int = 300
    state: str = ""
    id: str = ""
    after: tuple[int, int] | None = None


class BadParameter(ValueError):
    """A parameter that cannot be used: its text names it and the cure."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how it is read (ValueError when it cannot be), what it must look like and what it means."""

    name: str
    read: Callable[[str], Any]
    cure: str
    schema: Mapping[str, Any]
    meaning: str


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError
    return match


def _name(text: str) -> str:
    return _matched(_NAME, text)[0]


def _id(text: str) -> str:
    return _matched(_ID, text)[0]


def _cursor(text: str) -> tuple[int, int]:
    store, number = _matched(_CURSOR, text).groups()
    return int(store, 16), int(number)


def _state(text: str) -> str:
    return {"open": "open", "resolved": "resolved"}[text]


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(_matched(_NUMBER, text)[0])
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _duration(text: str) -> int:
    number, unit = _matched(_DURATION, text).groups("s")
    return int(Decimal(number) * _NANOSECONDS[unit])


def _moment(text: str) -> int:
    if _UNIX.fullmatch(text):
        return int(Decimal(text) * 10**9)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return max((passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1_000, 0)


def _whole(low: int, high: int, default: int) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


_SOME_TEXT = {"type": "string", "minLength": 1}
_WORD = {"type": "string", "pattern": "^[a-z0-9_]{1,64}$"}

PARAMETERS: Mapping[str, Parameter] = {
    own.name: own
    for own in (
        Parameter("probe", _name, "write the name of a probe, such as file", _WORD, "Of this probe only."),
        Parameter("operation", _name, "write the name of an operation, such as fsync", _WORD, "Of this operation only."),
        Parameter("owner", _text, "write the `name` of an owner", _SOME_TEXT, "Of this owner only."),
        Parameter(
            "pid",
            _number(1, 2**22),
            "write a number from 1 to 4194304",
            {"type": "integer", "minimum": 1, "maximum": 2**22},
            "Of the process with this PID only.",
        ),
        Parameter(
            "min_duration",
            _duration,
            "write a duration such as 5ms, or seconds such as 0.005",
            {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h)?$"},
            "Operations that took at least so long.",
        ),
        Parameter(
            "since",
            _moment,
            "write a time such as 2026-01-31T12:00:00Z, or seconds since 1970",
            {"type": "string"},
            "Operations and windows that ended, and processes that were started, at this time or later: RFC 3339, or seconds since 1970.",
        ),
        Parameter(
            "after",
            _cursor,
            "write the cursor of an answer before",
            {"type": "string", "pattern": "^[0-9a-f]{1,16}-[0-9]{1,18}$"},
            "Operations that were told after this cursor, the oldest first.",
        ),
        Parameter("limit", _number(1, 1_000), "write a number from 1 to 1000", _whole(1, 1_000, 100), "Most entries of the answer."),
        Parameter(
            "in_progress",
            _boolean,
            "write true or false",
            {"type": "boolean", "default": False},
            "Operations that have not ended, the longest first, in place of those that have.",
        ),
        Parameter(
            "ended",
            _boolean,
            "write true or false",
            {"type": "boolean", "default": True},
            "With false, without the processes that have ended and have no slow operations at or below them.",
        ),
        Parameter(
            "state",
            _state,
            "write open or resolved",
            {"type": "string", "enum": ["open", "resolved"]},
            "Incidents in this state only.",
        ),
        Parameter("id", _id, "write 8 hex digits", {"type": "string", "pattern": "^[0-9a-f]{8}$"}, "The incident with this id only."),
        Parameter("seconds", _number(1, 300), "write a number from 1 to 300", _whole(1, 300, 300), "How far to go back."),
    )
}


def parse(given: Iterable[tuple[str, str]], allowed: Sequence[str]) -> Query:
    """Return the query; BadParameter for the first parameter that cannot be used."""
    values: dict[str, Any] = {}
    for name, text in given:
        if name not in allowed:
            known = f"use {', '.join(allowed)}" if allowed else "leave it out, there are none here"
            raise BadParameter(f"unknown parameter {_shown(name)}; {known}")
        if name in values:
            raise BadParameter(f"parameter {name} was given twice; write it once")
        try:
            values[name] = PARAMETERS[name].read(text)
        except (ValueError, KeyError, OverflowError):
            raise BadParameter(f"parameter {name} cannot be {_shown(text)}; {PARAMETERS[name].cure}") from None
    return Query(**values)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
