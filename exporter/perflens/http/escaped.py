"""JSON that is safe wherever it lands: ASCII, with nothing in it that a page, a terminal or a strict parser would choke on."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["encode"]

_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\x7f": "\\u007f"})
_ESCAPE = re.compile(r"\\(?:\\|u(d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|u(d[89a-f][0-9a-f]{2}))")


def encode(value: Any) -> bytes:
    """Return a JSON document. A byte that was no UTF-8 (a lone surrogate, as os.fsdecode gives) reads ``\\xNN``."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_MARKUP)
    if "\\ud" in text:
        text = _ESCAPE.sub(_readable, text)
    return text.encode("ascii") + b"\n"


def _readable(match: re.Match[str]) -> str:
    """An escaped backslash and a pair stay as they are; the match has gone over them so that what follows is not misread."""
    lone = match[2]
    if lone is None:
        return match[0]
    code = int(lone, 16)
    return f"\\\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\\\u{lone}"
