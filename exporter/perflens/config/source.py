"""The configuration file as text: a regular file, small, in UTF-8, without control characters."""

from __future__ import annotations

import os
import re
import stat

from perflens.config.wording import Refused

__all__ = ["Unreadable", "read_text"]

LARGEST = 1 << 20
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Unreadable(Refused):
    """A file that cannot be taken, and the line that is to blame; 0 where it is the file itself."""

    def __init__(self, message: str, cure: str, line: int = 0) -> None:
        super().__init__(message, cure)
        self.line = line


def read_text(path: str) -> str:
    """The text of the file; raises Unreadable, and never waits for a pipe or a device."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise Unreadable("there is no such file", "create it, or name another with --config.file") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}", "name a file that the agent may read") from error
    except ValueError as error:
        raise Unreadable("is not the name of a file", "name a file that the agent may read") from error
    return decoded(data)


def read_bytes(path: str) -> bytes:
    refuse_special(os.stat(path))
    with open(os.open(path, FLAGS), "rb") as file:
        refuse_special(os.fstat(file.fileno()))
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unreadable("is larger than 1 MiB", "name a configuration file")
    return data


def refuse_special(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("is a directory", "name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("is not a regular file", "name a regular file")


def decoded(data: bytes) -> str:
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8", "save the file as UTF-8", 1 + data.count(b"\n", 0, error.start)) from None
    if found := FORBIDDEN.search(text):
        line = 1 + text.count("\n", 0, found.start())
        raise Unreadable(f"has the control character {found[0]!a}", "remove it", line)
    return text
