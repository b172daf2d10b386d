"""Plain files that somebody named: one that is no such file, a FIFO for one, neither hangs us nor is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

__all__ = ["NotPlain", "open_plain"]


class NotPlain(Exception):
    """It is a device, a FIFO or a socket."""


@contextmanager
def open_plain(path: str) -> Iterator[BinaryIO]:
    """Open a file to be read; NotPlain when it is of another kind, OSError when it is a folder or cannot be opened."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotPlain
        yield file
