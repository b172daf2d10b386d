"""Which mount a path leads to, and what a mount lies on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from perflens.model import Mount

__all__ = ["LONGEST", "MountTree", "layers", "read_mountinfo"]

LONGEST = 1 << 23
"""What is read of a mountinfo, in bytes: some 20,000 mounts."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BETWEEN_COLONS = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)
_STACKED = 64  # mounts on one point that are looked through


def read_mountinfo(path: str) -> str:
    """Return the text of a mountinfo, empty when it cannot be read. Bytes that are no UTF-8 are surrogates, a cut line is no line."""
    try:
        with open(path, "rb") as file:
            text = file.read(LONGEST + 1)
    except OSError:
        return ""
    return os.fsdecode(text if len(text) <= LONGEST else text[: text.rfind(b"\n", 0, LONGEST) + 1])


class MountTree:
    """The mounts of one mount namespace."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self.mounts = mounts
        self._by_device = {mount.device: mount for mount in reversed(mounts)}
        self._below = {(mount.parent, mount.point): mount for mount in mounts if mount.parent != mount.number}
        numbers = {mount.number for mount in mounts}
        roots = [own for own in mounts if own.point == "/" and (own.parent == own.number or own.parent not in numbers)]
        self._root = roots[-1] if roots else None

    def of(self, device: tuple[int, int]) -> Mount | None:
        """Return a mount of the super block with this number."""
        return self._by_device.get(device)

    def at(self, path: str) -> Mount | None:
        """Return the mount that an absolute path leads to, without a look at the file system: it may hang.

        It goes down from the root, as a walk along the path does: a mount below a point that was mounted over since is not found.
        """
        found = self._root if path.startswith("/") else None
        if found is None:
            return None
        for point in _prefixes(path):
            for _ in range(_STACKED):
                above = self._below.get((found.number, point))
                if above is None:
                    break
                found = above
        return found


def _prefixes(path: str) -> Iterator[str]:
    yield "/"
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)
    yield path


def layers(mount: Mount) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the upper folder of an overlay, none where it is read-only, and the lower ones.

    They are as they were given to mount(2), so they may be relative to a folder that nobody knows. The kernel lists them with
    colons between, or from 6.8 on each by itself if they came so.
    """
    upper, lower = [], []
    for option in mount.options:
        key, _, value = option.partition("=")
        value = _OCTAL.sub(lambda match: chr(int(match[1], 8)), value)
        if key == "upperdir":
            upper.append(value)
        elif key in ("lowerdir+", "datadir+"):
            lower.append(value)
        elif key == "lowerdir":
            lower += [_ESCAPED.sub(r"\1", own) for own in _BETWEEN_COLONS.findall(value)]
    return tuple(upper), tuple(lower)
