"""Files of procfs, sysfs and cgroupfs: read whole and bounded, and the words in them as numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["LONGEST", "number", "pairs", "read", "whole"]

LONGEST = 1 << 20
"""What is read of a file, in bytes; of a longer one the lines that are whole."""

_CHUNK = 1 << 16
_DIGITS = 20  # of the largest number of 64 bits


def read(path: str) -> bytes | None:
    """Return what a file holds, None when it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: the path has a NUL
        return None
    try:
        return _whole_lines(file)
    except OSError:
        return None
    finally:
        os.close(file)


def _whole_lines(file: int) -> bytes:
    text = b""
    while chunk := os.read(file, _CHUNK):  # a short read does not tell the end: seq_file gives its buffer's worth
        text += chunk
        if len(text) > LONGEST:
            return text[: text.rfind(b"\n", 0, LONGEST) + 1]
    return text


def whole(word: bytes) -> int | None:
    """Return a number of digits alone, None for any other word."""
    return int(word) if word.isdigit() and len(word) <= _DIGITS else None


def pairs(text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the lines that are a key and a number, such as those of memory.stat; others are passed over."""
    for line in text.splitlines():
        key, _, word = line.partition(b" ")
        if (value := whole(word)) is not None:
            yield key, value


def number(text: bytes, key: bytes) -> int | None:
    """Return the number on the first line of a key, None without one: for long files of which few lines are needed."""
    at = 0 if text.startswith(key + b" ") else text.find(b"\n" + key + b" ") + 1
    if not text.startswith(key + b" ", at):
        return None
    end = text.find(b"\n", at)
    return whole(text[at + len(key) + 1 : end if end >= 0 else len(text)])
