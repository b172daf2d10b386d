"""What the helper sees of a process: its executable mappings and the files behind them (proc(5)).

All of it is read below one descriptor of the process's folder, which never shows another process that got its PID.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from stat import S_ISREG

__all__ = ["Mapping", "Process", "open_regular"]

_MOST_MAPS = 4 << 20
_MOST_MAPPINGS = 1024
_MOST_STATUS = 1 << 14
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def open_regular(path: str | bytes, folder: int | None = None, *, follow: bool = True) -> int:
    """Open a file to read it; OSError unless it is a regular one.

    It is looked at before it is opened: to open a device may do something, to open a FIFO may never end.
    """
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), dir_fd=folder)
    try:
        if not S_ISREG(os.fstat(handle).st_mode):
            raise OSError("no regular file")
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(handle)


class Mapping:
    """One executable mapping: addresses, the offset in its file, device and inode (empty and 0 for memory), and the path."""

    __slots__ = ("device", "end", "inode", "offset", "path", "start")

    def __init__(self, line: bytes) -> None:
        span, access, offset, self.device, inode, *path = line.split(None, 5)
        if access[2:3] != b"x":
            raise ValueError("not executable")
        self.start, self.end = (int(part, 16) for part in span.split(b"-"))
        self.offset, self.inode = int(offset, 16), int(inode)
        self.path = path[0].rstrip(b"\n") if path else b""

    @property
    def module(self) -> bytes:
        """Return the name of the file, or ``[vdso]`` and its like."""
        return self.path.removesuffix(b" (deleted)").rsplit(b"/", 1)[-1]


class Process:
    """A process that lives; OSError when it does not, or when another one has its PID."""

    def __init__(self, procfs: str, pid: int, start: int | None = None) -> None:
        self.folder = os.open(f"{procfs}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.pid = pid
        self._mappings: list[Mapping] | None = None
        try:
            if start is not None and abs(self._ticks() - start // _TICK) > 1:
                raise OSError("another process has its PID")
        except (OSError, ValueError, IndexError) as error:
            self.close()
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Let go of it."""
        os.close(self.folder)

    def mappings(self) -> list[Mapping]:
        """Return the first executable mappings; none when it has ended meanwhile."""
        if self._mappings is None:
            try:
                self._mappings = list(self._read_mappings())
            except OSError:
                self._mappings = []
        return self._mappings

    def at(self, address: int) -> Mapping | None:
        """Return the executable mapping of an address."""
        return next((mapping for mapping in self.mappings() if mapping.start <= address < mapping.end), None)

    def open(self, mapping: Mapping) -> Iterator[tuple[int, bool]]:
        """Yield the mapped file opened each way that works, and whether it is surely that file."""
        ways = (
            b"map_files/%x-%x" % (mapping.start, mapping.end),  # maps pads addresses, map_files does not
            b"root" + mapping.path.removesuffix(b" (deleted)"),
            b"exe",
        )
        for number, way in enumerate(ways):
            try:
                fd = open_regular(way, self.folder)
            except (OSError, ValueError):
                continue
            try:
                yield fd, number == 0 or os.fstat(fd).st_ino == mapping.inode
            finally:
                os.close(fd)

    def status(self) -> tuple[int, frozenset[int]]:
        """Return its PID as its own namespace has it, and its user ids."""
        own, users = self.pid, frozenset[int]()
        for line in self._read("status", _MOST_STATUS).splitlines():
            name, _, values = line.partition(b":")
            if name == b"NSpid":
                own = int(values.split()[-1])
            elif name == b"Uid":
                users = frozenset(map(int, values.split()))
        return own, users

    def _ticks(self) -> int:
        return int(self._read("stat", 4096).rpartition(b")")[2].split()[19])  # field 22, starttime; the name may hold anything

    def _read_mappings(self) -> Iterator[Mapping]:
        found = 0
        for line in self._read("maps", _MOST_MAPS).split(b"\n"):
            try:
                yield Mapping(line)
            except (ValueError, IndexError):
                continue
            found += 1
            if found >= _MOST_MAPPINGS:
                return

    def _read(self, name: str, limit: int) -> bytes:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            parts, room = [], limit
            while room > 0 and (part := os.read(fd, min(room, 1 << 16))):
                parts.append(part)
                room -= len(part)
            return b"".join(parts)
        finally:
            os.close(fd)
