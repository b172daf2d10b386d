"""The files that a configuration was read from, and whether one of them has changed since."""

from __future__ import annotations

import os
import stat

from perflens.config.source import Unreadable, read_text

__all__ = ["Files"]

Stamp = tuple[int, ...]


class Files:
    """Reads texts, and remembers each file as it was before it was read."""

    def __init__(self) -> None:
        self._stamps: dict[str, Stamp] = {}
        self._keys: list[str] = []

    def text(self, path: str) -> str:
        """Return the text of a file; Unreadable when it cannot be had."""
        self._stamps[path] = _stamp(path)
        try:
            return read_text(path)
        except Unreadable as error:
            raise Unreadable(error.message, error.cure.replace(", or name another with --config.file", ""), error.line) from error

    def have_changed(self) -> bool:
        """Whether one of them is another file now, was written to, has come or is gone."""
        return any(_stamp(path) != stamp for path, stamp in self._stamps.items())

    def holds_key(self, path: str) -> None:
        """Note that a private key was read from a file."""
        self._keys.append(path)

    @property
    def keys_open_to_all(self) -> list[str]:
        """The files with a private key that every user of the host may read."""
        return [path for path in self._keys if _mode(path) & stat.S_IROTH]


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size
