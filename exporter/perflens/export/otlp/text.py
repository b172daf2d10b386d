"""Text from the kernel, which anybody on the host can choose, as attribute values: valid, printable and bounded."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LONGEST_STACK", "cleaned", "stack"]

LONGEST_STACK = 16_384
_CUT = "…"


def cleaned(text: str, longest: int) -> str:
    r"""Return text of at most ``longest`` characters; what cannot be printed stands as ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.

    A byte that was no UTF-8 (a surrogate, as os.fsdecode makes them) is ``\xNN``. The backslash stays as it is: names of systemd units
    are full of them.
    """
    if len(text) > longest:
        return _cut("".join(map(_escaped, text[: longest + 1])), longest)
    if text.isprintable():
        return text
    return _cut("".join(map(_escaped, text)), longest)


def stack(frames: Sequence[str]) -> str:
    """Return frames one a line; those that do not fit, the outermost, are left out whole and an ellipsis tells so."""
    if not "".join(frames).isprintable():
        frames = [cleaned(frame, LONGEST_STACK) for frame in frames]
    text = "\n".join(frames)
    if len(text) <= LONGEST_STACK:
        return text
    kept = text[: LONGEST_STACK - 1]
    return kept[: kept.rfind("\n") + 1] + _CUT


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + _CUT


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
