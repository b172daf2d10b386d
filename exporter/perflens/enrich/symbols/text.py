"""How a frame of a user stack is shown: whatever a process calls its functions, one line of bounded length comes out."""

from __future__ import annotations

__all__ = ["LONGEST", "frame_text", "shown"]

LONGEST = 256


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(name: bytes, room: int = LONGEST) -> str:
    """Return ``name`` in up to ``room`` characters, cut with ``…``; what would not print is escaped."""
    text = name[: 4 * room].decode("utf-8", "surrogateescape")
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _escaped(character) for character in text)
    return text if len(text) <= room else text[: room - 1] + "…"


def frame_text(function: bytes, offset: int, module: bytes, build_id: bytes) -> str:
    """Return ``function+0x1a``; ``module+0x1a`` or, where not even that is known, ``build-id:…+0x1a`` or the address."""
    place = f"{offset:#x}{' [vdso]' if function and module == b'[vdso]' else ''}"
    known = function or module or (b"build-id:" + build_id.hex().encode() if build_id else b"")
    return f"{shown(known, LONGEST - len(place) - 1)}+{place}" if known else place
