"""What runtimes that compile while they run say of their code: /tmp/perf-PID.map, lines of ``start size name`` in hexadecimal.

The file is the process's own word, in a folder that anybody writes to.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from stat import S_ISREG

from perflens.enrich.symbols.process import Process, open_regular

__all__ = ["LARGEST", "MOST_ENTRIES", "PerfMap", "PerfMaps", "Refused", "open_map"]

LARGEST = 16 << 20
MOST_ENTRIES = 200_000
_LONGEST_NAME = 512
_STEP = 1 << 16
_MAPS = 2


class Refused(Exception):
    """The file is not one that the process itself, or root, made."""


class PerfMap:
    """The functions that were told so far; later lines count, since code is replaced where it stood."""

    def __init__(self) -> None:
        self._starts, self._ends, self._offsets = array("Q"), array("Q"), array("I", [0])
        self._names = bytearray()
        self._order = array("I")
        self._sorted_starts = array("Q")
        self._rest = b""
        self.read = 0

    def __len__(self) -> int:
        return len(self._starts)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the file; lines that are damaged are left out."""
        self.read += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[: _LONGEST_NAME * 2]
        for line in lines:
            if len(self._starts) >= MOST_ENTRIES:
                return
            self._add(line)

    def at(self, address: int) -> tuple[bytes, int] | None:
        """Return the function at an address and how far into it that is."""
        if len(self._order) != len(self._starts):
            self._order = array("I", sorted(range(len(self._starts)), key=self._starts.__getitem__))
            self._sorted_starts = array("Q", map(self._starts.__getitem__, self._order))
        place = bisect_right(self._sorted_starts, address) - 1
        found = max((self._order[i] for i in range(max(place - 15, 0), place + 1) if address < self._ends[self._order[i]]), default=None)
        if found is None:
            return None
        return bytes(self._names[self._offsets[found] : self._offsets[found + 1]]), address - self._starts[found]

    def _add(self, line: bytes) -> None:
        try:
            start, size, name = line.split(b" ", 2)
            first, length = int(start, 16), int(size, 16)
        except ValueError:
            return
        if name and 0 <= first < first + length < 1 << 64:
            self._starts.append(first)
            self._ends.append(first + length)
            self._names += name[:_LONGEST_NAME]
            self._offsets.append(len(self._names))


def open_map(process: Process) -> int | None:
    """Open the map of a process in its own /tmp; None when there is none, Refused when it is not to be trusted."""
    folder = None
    try:
        own, users = process.status()
        root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.folder)
        try:  # a link would be followed from our root, not from the process's
            folder = os.open("tmp", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        finally:
            os.close(root)
        name = f"perf-{own}.map"
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not S_ISREG(status.st_mode) or status.st_uid not in users | {0} or status.st_size > LARGEST:
            raise Refused(name)
        fd = open_regular(name, folder, follow=False)
    except (OSError, ValueError):
        return None
    finally:
        if folder is not None:
            os.close(folder)
    opened = os.fstat(fd)
    if (opened.st_dev, opened.st_ino, opened.st_uid) != (status.st_dev, status.st_ino, status.st_uid):
        os.close(fd)
        raise Refused(name)
    return fd


def _follow(found: PerfMap, fd: int) -> None:
    """Read what was added to the file since the last time."""
    while found.read < LARGEST and (data := os.pread(fd, min(_STEP, LARGEST - found.read), found.read)):
        found.feed(data)


class PerfMaps:
    """The maps of the processes that were asked for last."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, int, int], PerfMap] = {}
        self._refused = 0

    def take_refused(self) -> int:
        """Return how many maps were refused since the last call."""
        refused, self._refused = self._refused, 0
        return refused

    def find(self, process: Process, address: int) -> tuple[bytes, int] | None:
        """Return the function of a process at an address and how far into it that is."""
        try:
            fd = open_map(process)
        except Refused:
            self._refused += 1
            return None
        if fd is None:
            return None
        try:
            return self._up_to_date(process, fd).at(address)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _up_to_date(self, process: Process, fd: int) -> PerfMap:
        status = os.fstat(fd)
        key = (process.pid, status.st_dev, status.st_ino)
        found = self._maps.pop(key, None)
        if found is None or status.st_size < found.read:  # it was begun anew
            found = PerfMap()
        _follow(found, fd)
        self._maps[key] = found
        while len(self._maps) > _MAPS:
            del self._maps[next(iter(self._maps))]
        return found
