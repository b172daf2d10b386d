"""How a character that a terminal must not get is written."""

from __future__ import annotations

__all__ = ["escaped"]


def escaped(character: str) -> str:
    """Return ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
