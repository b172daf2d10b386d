"""Text of others, made safe for a terminal, and how many cells text takes."""

from __future__ import annotations

import unicodedata

from perflens.escapes import escaped

__all__ = ["clean", "fit", "fit_left", "width", "wrap"]

_LONGEST = 512
_ELLIPSIS = "…"
# Printable, but terminals disagree on their width, or join them to their neighbours: Hangul medials and fillers, flags, skin tones,
# and signs that newer versions of Unicode made wide.
_UNSETTLED = (
    (0x1160, 0x11FF),
    (0x2630, 0x2637),
    (0x268A, 0x268F),
    (0x3164, 0x3164),
    (0x4DC0, 0x4DFF),
    (0xD7B0, 0xD7FF),
    (0xFFA0, 0xFFA0),
    (0x1D300, 0x1D376),
    (0x1F1E6, 0x1F1FF),
    (0x1F3FB, 0x1F3FF),
)


def clean(text: str, longest: int = _LONGEST) -> str:
    """Return text in which control, bidi, combining and invisible characters read ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``."""
    if len(text) > longest:
        text = text[: longest - 1] + _ELLIPSIS
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_plain(character) else escaped(character) for character in text)


def _is_plain(character: str) -> bool:
    if not character.isprintable() or unicodedata.category(character)[0] == "M":
        return False
    code = ord(character)
    return code < 0x1160 or not any(low <= code <= high for low, high in _UNSETTLED)


def width(text: str) -> int:
    """Return how many cells cleaned text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, cells: int, align: str = "<") -> str:
    """Return text of exactly so many cells: cut at the right, or filled with spaces."""
    taken = width(text)
    if taken > cells:
        text = _head(text, cells - 1) + _ELLIPSIS if cells > 0 else ""
        taken = width(text)
    room = " " * (cells - taken)
    return text + room if align == "<" else room + text


def fit_left(text: str, cells: int) -> str:
    """Return text of exactly so many cells, cut at the left: the end of a path tells more than its beginning."""
    if width(text) <= cells or cells <= 0:
        return fit(text, cells)
    tail = _head(text[::-1], cells - 1)[::-1]
    return fit(_ELLIPSIS + tail, cells)


def _head(text: str, cells: int) -> str:
    if text.isascii():
        return text[: max(cells, 0)]
    taken = 0
    for at, character in enumerate(text):
        taken += _cells(character)
        if taken > cells:
            return text[:at]
    return text


def wrap(text: str, cells: int, most: int = 100) -> list[str]:
    """Return text in lines of at most so many cells, broken at spaces where there are any; at most ``most`` lines."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most:
        head = _head(rest, max(cells, 2))
        at = head.rfind(" ") if rest[len(head) : len(head) + 1] not in ("", " ") else -1
        head = head[:at] if at > 0 else head
        lines.append(head)
        rest = rest[len(head) :].lstrip(" ")
    return lines
