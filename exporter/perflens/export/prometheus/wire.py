"""The wire format of protocol buffers, as far as metrics need it: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

__all__ = ["FIXED64", "LENGTH", "VARINT", "VARINTS", "ZIGZAG", "double", "key", "message", "text", "varint", "zigzag"]

VARINT, FIXED64, LENGTH = 0, 1, 2

_DOUBLE = struct.Struct("<d")
_COMMON: Final = 1 << 12


def varint(value: int) -> bytes:
    """Return an unsigned number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Return a signed number: those near to zero are short, whatever their sign."""
    return varint(value << 1 if value >= 0 else ~value << 1 | 1)


class _Known(dict[int, bytes]):
    """Encodes by look-up, and keeps the small numbers: a subscript costs a tenth of the loop."""

    def __init__(self, encode: Callable[[int], bytes]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, value: int) -> bytes:
        encoded = self._encode(value)
        if -_COMMON < value < _COMMON:
            self[value] = encoded
        return encoded


VARINTS: Final = _Known(varint)
ZIGZAG: Final = _Known(zigzag)


def key(field: int, kind: int) -> bytes:
    """Return what stands before the value of a field."""
    return varint(field << 3 | kind)


def message(field: int, body: bytes) -> bytes:
    """Return a field that holds a message, or packed numbers."""
    return key(field, LENGTH) + VARINTS[len(body)] + body


def text(field: int, value: str) -> bytes:
    """Return a field that holds a text; what cannot be encoded becomes a question mark."""
    return message(field, value.encode(errors="replace"))


def double(field: int, value: float) -> bytes:
    """Return a field that holds a double."""
    return key(field, FIXED64) + _DOUBLE.pack(value)
