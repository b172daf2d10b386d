"""Durations between people, who write ``1h30m``, and the program, which counts nanoseconds."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["PATTERN", "formatted", "nanoseconds"]

UNITS = {"h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"
PATTERN = "^(?=.)" + "".join(f"(?:{NUMBER}{unit})?" for unit in UNITS) + "$"
GRAMMAR = re.compile("(?=.)" + "".join(f"(?:({NUMBER}){unit})?" for unit in UNITS))


def nanoseconds(text: str) -> int | None:
    """What ``1h30m``, ``5ms`` or ``1.5s`` means; None if it is no duration in whole nanoseconds."""
    match = GRAMMAR.fullmatch(text)
    if match is None:
        return None
    total = sum(Fraction(number) * size for number, size in zip(match.groups("0"), UNITS.values(), strict=True))
    return int(total) if total == int(total) else None


def formatted(duration: int) -> str:
    """The shortest exact way to write a duration in whole units: ``5ms``, ``1h30m``, ``1s500ms``."""
    parts = []
    for unit, size in UNITS.items():
        count, duration = divmod(duration, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
