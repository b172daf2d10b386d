"""The wire format of protocol buffers, as far as metrics need it: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import Final

__all__ = ["FIXED64", "LENGTH", "VARINT", "double", "key", "message", "text", "varint", "zigzag"]

VARINT, FIXED64, LENGTH = 0, 1, 2

_DOUBLE = struct.Struct("<d")
_SINGLE: Final = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """Return an unsigned number, seven bits a byte, the lowest first."""
    if value <= 0x7F:
        return _SINGLE[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Return a signed number: those near to zero are short, whatever their sign."""
    return varint(value << 1 if value >= 0 else ~value << 1 | 1)


_length = lru_cache(4096)(varint)


@cache
def key(field: int, kind: int) -> bytes:
    """Return what stands before the value of a field."""
    return varint(field << 3 | kind)


def message(field: int, body: bytes) -> bytes:
    """Return a field that holds a message, or packed numbers."""
    return key(field, LENGTH) + _length(len(body)) + body


def text(field: int, value: str) -> bytes:
    """Return a field that holds a text; what cannot be encoded becomes a question mark."""
    return message(field, value.encode(errors="replace"))


def double(field: int, value: float) -> bytes:
    """Return a field that holds a double."""
    return key(field, FIXED64) + _DOUBLE.pack(value)
