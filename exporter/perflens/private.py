"""Files that hold a secret: nobody else may read them, and none of them hangs the start."""

from __future__ import annotations

import os
import stat

from perflens.errors import ConfigError, Problem
from perflens.plain import NotPlain, open_plain

__all__ = ["LONGEST_TOKEN", "read_line", "read_private", "read_word"]

LONGEST_TOKEN = 4_096


def read_private(path: str, key: str) -> bytes:
    """Return the first bytes of a file, more than a token may have; ConfigError in the name of ``key`` when it cannot be used."""
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise _refused(path, key, "is open to every user of the host", f"chmod o= {path}")
            return file.read(2 * LONGEST_TOKEN)
    except NotPlain:
        raise _refused(path, key, "is no plain file", "write the path of a file with the token") from None
    except OSError as error:
        raise _refused(path, key, f"cannot be read: {error.strerror}", "write the path of a file that the agent may read") from error


def read_word(path: str, key: str) -> bytes:
    """Return the token in a file, without the space around it; ConfigError when it cannot be one."""
    word = read_private(path, key).strip()
    if not word:
        raise _refused(path, key, "is empty", "write a token into it: head -c 32 /dev/urandom | base64 -w0")
    if len(word) > LONGEST_TOKEN or any(not 0x21 <= byte <= 0x7E for byte in word):
        raise _refused(path, key, "holds no token", "write one word of at most 4096 letters, digits and signs into it")
    return word


def read_line(path: str, key: str) -> str:
    """Return the password in a file, without the end of its line; ConfigError when it cannot be one."""
    try:
        line = read_private(path, key).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _refused(path, key, "is not UTF-8", "save the file as UTF-8") from None
    if not line:
        raise _refused(path, key, "is empty", "write the password into it")
    if len(line) > LONGEST_TOKEN or not line.isprintable():
        raise _refused(path, key, "holds no password", "write it on one line, of at most 4096 characters")
    return line


def _refused(path: str, key: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(path, key, message, cure),))
