"""Mounts as procfs lists them: ``36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw`` (filesystems/proc.rst)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["MountLine", "parse_mountinfo"]

_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountLine(NamedTuple):
    """One mount. ``options`` are those of the mount and then those of its super block, each once."""

    root: str
    point: str
    fstype: str
    options: tuple[str, ...]


def parse_mountinfo(text: bytes) -> Iterator[MountLine]:
    """Yield the mounts in the order of the text; a malformed line is passed over. Bytes that are no UTF-8 are surrogates."""
    for line in text.split(b"\n"):  # a mount point may hold whatever else ends a line for Python
        head, _, tail = line.partition(b" - ")
        front, back = head.split(b" "), tail.split(b" ")
        if len(front) >= 6 and len(back) >= 3:
            options = os.fsdecode(front[5] + b"," + back[2]).split(",")
            yield MountLine(_text(front[3]), _text(front[4]), os.fsdecode(back[0]), tuple(dict.fromkeys(filter(None, options))))


def _text(word: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), word))
