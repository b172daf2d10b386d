"""Files that hold a secret: nobody else may read them, and none of them hangs the start."""

from __future__ import annotations

import os
import stat

from perflens.errors import ConfigError, Problem

__all__ = ["LONGEST_TOKEN", "read_private"]

LONGEST_TOKEN = 4_096


def read_private(path: str, key: str) -> bytes:
    """Return the first bytes of a file, more than a token may have; ConfigError in the name of ``key`` when it cannot be used."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang the start
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise _refused(path, key, "is no plain file", "write the path of a file with the token")
            if found.st_mode & stat.S_IRWXO:
                raise _refused(path, key, "is open to every user of the host", f"chmod o= {path}")
            return file.read(2 * LONGEST_TOKEN)
    except OSError as error:
        raise _refused(path, key, f"cannot be read: {error.strerror}", "write the path of a file that the agent may read") from error


def _refused(path: str, key: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(path, key, message, cure),))
