"""How the agent and its helper process talk: once the helper is ready, one request, one answer, each a list of byte strings."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LIMIT", "READY", "pack", "size", "unpack"]

LIMIT = 1 << 20
READY = b"."
_WORD = 4


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "little")


def size(header: bytes) -> int:
    """Return how many bytes follow the first four of a message; ValueError when that cannot be."""
    length = int.from_bytes(header, "little")
    if len(header) != _WORD or length > LIMIT:
        raise ValueError("no message")
    return length


def pack(fields: Sequence[bytes]) -> bytes:
    """Return the message of ``fields``."""
    body = b"".join(_word(len(field)) + field for field in fields)
    return _word(len(body)) + body


def unpack(body: bytes) -> list[bytes]:
    """Return the fields of a message whose header was taken off; ValueError when it was cut."""
    fields, place = [], 0
    while place < len(body):
        end = place + _WORD + int.from_bytes(body[place : place + _WORD], "little")
        if end > len(body) or place + _WORD > len(body):
            raise ValueError("a message was cut")
        fields.append(body[place + _WORD : end])
        place = end
    return fields
