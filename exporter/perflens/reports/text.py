"""Text that others chose, safe in a terminal, a table and a picture; durations and moments as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from perflens.escapes import escaped

__all__ = ["duration", "moment", "printable", "shortened"]

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))
_SECOND = 1_000_000_000


def printable(text: str) -> str:
    """Escape every character that moves a cursor, hides, or turns the direction of writing: ``\\x1b``, ``\\u202e``."""
    return text if text.isprintable() else "".join(one if one.isprintable() else escaped(one) for one in text)


def shortened(text: str, limit: int) -> str:
    """Return a text that can be printed, its end if it is longer than ``limit``: the leaf of a path tells more than its root."""
    text = printable(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def duration(ns: int) -> str:
    """Return 1.23s, 12.3ms, 123us or 12ns."""
    for size, unit in _UNITS:
        if ns >= size:
            value = ns / size
            return f"{value:.{max(0, 2 - (value >= 9.995) - (value >= 99.95))}f}{unit}"
    return f"{ns}ns"


def moment(ns: int, digits: int = 3) -> str:
    """Return a time since the epoch as UTC, RFC 3339, with so many digits of a second."""
    seconds, rest = divmod(ns, _SECOND)
    try:
        whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ns)
    return f"{whole}.{rest:09d}"[: len(whole) + 1 + digits].rstrip(".") + "Z"
