"""Names and numbers as they may stand in an annotation: anybody on the host can choose a name."""

from __future__ import annotations

import math
import unicodedata
from html import escape

__all__ = ["clean", "escaped", "quantity"]

_CUT = "…"
_SPACE = frozenset({"Cc", "Zl", "Zp", "Zs"})
_NOTHING = frozenset({"Cf", "Cn", "Co"})  # Cf: what turns the direction of text, or has no width
_SCAN = 4_096
_TIMES = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def clean(text: str) -> str:
    """Return text on one line, of characters that can be seen; lone surrogates read U+FFFD."""
    return " ".join("".join(map(_visible, text[:_SCAN])).split())


def escaped(text: str, longest: int) -> str:
    """Return text as HTML of at most ``longest`` bytes of UTF-8; an ellipsis tells that something was cut."""
    whole = escape(clean(text))
    if _size(whole) <= longest and len(text) <= _SCAN:
        return whole
    kept, room = [], longest - _size(_CUT)
    for piece in map(escape, clean(text)):
        room -= _size(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + _CUT if longest >= _size(_CUT) else ""


def quantity(value: float, unit: str) -> str:
    """Return a number of 3 significant digits in a unit that suits it: ``48.2 ms``, ``1.30 MiB``, ``81.0 %``, ``8.12 k/s``."""
    if not math.isfinite(value):
        return "?"
    if unit == "ratio":
        return f"{_digits(_rounded(value * 100))} %"
    if unit in ("s", "seconds"):
        return _scaled(value, _TIMES)
    if unit in ("B", "bytes"):
        return _scaled(value, _SIZES)
    if unit in ("B/s", "bytes/s"):
        return f"{_scaled(value, _SIZES)}/s"
    suffix = unit.removeprefix("1") if unit.startswith("1/") else f" {unit}" if unit else ""
    return f"{_scaled(value, _COUNTS).rstrip()}{suffix}"


def _visible(char: str) -> str:
    if " " < char <= "~":
        return char
    category = unicodedata.category(char)
    if category in _SPACE:
        return " "
    return "" if category in _NOTHING else "\ufffd" if category == "Cs" else char


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    value = _rounded(value)
    if value == 0:
        return f"0 {next(name for size, name in units if size == 1.0)}"
    size, name = next(((size, name) for size, name in units if abs(value) >= size), units[-1])
    scaled = _rounded(value / size)
    whole = size == 1.0 and units is not _TIMES and scaled == int(scaled)
    return f"{int(scaled) if whole else _digits(scaled)} {name}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _digits(value: float) -> str:
    """A rounded number, with the zeros that tell how exact it is."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.01 else f"{value:g}"


def _size(text: str) -> int:
    return len(text.encode())
