"""Numbers as people write them, and whether a number that somebody wrote is one that was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

from perflens.analysis import Fact

__all__ = ["Number", "is_of", "numbers_in", "significant", "times", "written"]

_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_SCALES = MappingProxyType(
    {
        "s": _TIME,
        "s/s": tuple((factor, f"{name}/s") for factor, name in _TIME),
        "B": _BYTES,
        "B/s": tuple((factor, f"{name}/s") for factor, name in _BYTES),
        "ratio": ((0.01, "%"),),
        "1/s": ((1.0, "/s"),),
    }
)
"""Factors and names of the units that a base unit is written in, the largest first."""

_TIMES = "times"
_BARE = ""
_UNITS = {
    **{name: (unit, factor) for unit, scales in _SCALES.items() for factor, name in scales},
    **dict.fromkeys(("sec", "secs", "second", "seconds"), ("s", 1.0)),
    **dict.fromkeys(("millisecond", "milliseconds"), ("s", 1e-3)),
    **dict.fromkeys(("µs", "μs", "microsecond", "microseconds"), ("s", 1e-6)),
    **{
        f"{name}{per}": (f"B{per}", factor)
        for per in ("", "/s")
        for name, factor in (("KB", 1e3), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30))
    },
    "bytes": ("B", 1.0),
    "percent": ("ratio", 0.01),
    "per second": ("1/s", 1.0),
    **dict.fromkeys(("x", "×", "times", "-fold"), (_TIMES, 1.0)),
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_NUMBER = re.compile(rf"(?<![\w.])([x×])?([-+]?)((?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?)(?:[ \u00a0]?({_UNIT}))?(?![\w%])", re.ASCII)


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, never in powers of ten: ``1.30``, ``48.2``, ``12300``."""
    if not value:
        return "0"
    rounded = _rounded(value, digits)
    return f"{rounded:.{max(0, digits - 1 - _exponent(rounded))}f}"


def written(value: float, unit: str) -> str:
    """Return a value of a base unit with 3 significant digits in the unit that people would take: 0.0482 s is ``48.2 ms``."""
    number, name = _scaled(value, unit)
    return f"{number} {name}".rstrip()


def times(ratio: float) -> str:
    """Return how many times the baseline: ``x37``, ``x0.45``, ``x1230``."""
    return f"x{significant(ratio, 2 if ratio < 100 else 3)}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text, in a base unit (``times`` for multiples, empty where none was written), with one unit of its last digit."""

    value: float
    unit: str
    last: float


def numbers_in(text: str) -> tuple[tuple[Number, ...], str]:
    """Return the numbers of a text, and the text without them."""
    return tuple(_number(found) for found in _NUMBER.finditer(text)), _NUMBER.sub(" ", text)


def is_of(number: Number, facts: Iterable[Fact]) -> bool:
    """Whether a number is the value, the baseline or the ratio of one of the facts, to one unit of its last digit."""
    return any(abs(candidate - number.value) <= number.last * (1 + 1e-6) for fact in facts for candidate in _candidates(number.unit, fact))


def _candidates(unit: str, fact: Fact) -> Iterator[float]:
    """What a number of this unit may be of a fact: each as measured and as it was written."""
    ratio = fact.ratio
    if unit in (_BARE, _TIMES) and ratio is not None and ratio > 0:
        yield from (ratio, float(times(ratio)[1:]))
    for value in (fact.value,) if fact.baseline is None else (fact.value, fact.baseline):
        if unit == _BARE:
            yield float(_scaled(value, fact.unit)[0])
        elif unit == fact.unit:
            yield from (value, _rounded(value, 3))


def _number(found: re.Match[str]) -> Number:
    before, sign, digits, after = found.groups()
    unit, factor = _UNITS[after or before] if after or before else (_BARE, 1.0)
    _, _, decimals = digits.partition(".")
    value = float(f"{'-' if sign == '-' else ''}{digits.replace(',', '')}")
    return Number(value * factor, unit, factor * 10.0 ** -len(decimals))


def _scaled(value: float, unit: str) -> tuple[str, str]:
    scales = _SCALES.get(unit)
    if scales is None:
        return significant(value), unit if re.fullmatch(r"[A-Za-z0-9/%]{2,8}", unit) else ""
    least = abs(_rounded(value, 3))
    factor, name = next((scale for scale in scales if scale[0] <= least * (1 + 1e-9)), scales[-1])
    return significant(value / factor), name


def _rounded(value: float, digits: int) -> float:
    return round(value, digits - 1 - _exponent(value)) if value else 0.0


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))
