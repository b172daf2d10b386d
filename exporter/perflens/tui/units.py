"""Durations, counts and times as people read them, in few cells."""

from __future__ import annotations

import time

__all__ = ["clock", "count", "duration", "precise_clock", "share", "span"]

_STEPS = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"))
_SECOND = 1_000_000_000


def duration(ns: int) -> str:
    """Return at most 7 cells: three digits and a unit up to a minute, then ``12m05s``, ``3h07m``, ``9d04h``."""
    if ns < 60 * _SECOND:
        scale, unit = next((step for step in reversed(_STEPS) if ns >= step[0]), _STEPS[0])
        value = ns / scale
        digits = 0 if value >= 100 or scale == 1 else 1 if value >= 10 else 2
        return f"{value:.{digits}f} {unit}"
    minutes, seconds = divmod(ns // _SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def count(number: int) -> str:
    """Return at most 6 cells: whole up to 99,999, then in k, M or G."""
    if number < 100_000:
        return str(number)
    value, unit = next((number / scale, unit) for scale, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")) if number >= scale)
    return f"{value:.{1 if value < 100 else 0}f}{unit}"


def share(part: int, whole: int) -> str:
    """Return a part in percent, 4 cells at most."""
    return f"{100 * part / whole:.0f}%" if whole else "0%"


def span(seconds: int) -> str:
    """Return the length of a window: ``30 s``, ``5 min``."""
    return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"


def clock(seconds: float) -> str:
    """Return the time of the day here, of a time since 1970; dashes for one that no calendar has."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "--:--:--"


def precise_clock(seconds: float) -> str:
    """Return the time of the day with ms."""
    return f"{clock(seconds)}.{int(seconds % 1 * 1000):03}"
