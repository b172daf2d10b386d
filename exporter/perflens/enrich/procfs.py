"""Processes as procfs shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from perflens.model import ProcessKey

__all__ = ["TICK", "Procfs", "Stat"]

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""The unit of a process's start in procfs, in ns: the kernel rounds down to it."""

_DELETED = " (deleted)"


class Stat(NamedTuple):
    """What is read of /proc/PID/stat; ``start`` is in ns of CLOCK_BOOTTIME, a multiple of TICK."""

    pid: int
    comm: str
    parent: int
    start: int


class Procfs:
    """The procfs mounted at ``point``; one without a point is empty, and false."""

    def __init__(self, point: str) -> None:
        self._point = point

    def __bool__(self) -> bool:
        return bool(self._point)

    def processes(self) -> Iterator[Stat]:
        """Yield what runs now; threads are not among them."""
        names = os.listdir(self._point) if self._point else ()
        for name in names:
            if name.isascii() and name.isdecimal() and (stat := self.process(int(name))):
                yield stat

    def process(self, pid: int) -> Stat | None:
        """Return one process; None when it is gone."""
        try:
            with open(f"{self._point}/{pid}/stat", "rb") as file:
                return _stat(file.read())
        except (OSError, ValueError, IndexError):
            return None

    def runs(self, process: ProcessKey) -> bool:
        """Whether this process runs a program still: it is no zombie, and no other one has its PID."""
        stat = self.process(process.pid)
        return stat is not None and stat.start == process.start - process.start % TICK and bool(self.program(process.pid))

    def program(self, pid: int) -> str:
        """Return the path of what it runs; empty for a kernel thread, and where it may not be read."""
        with suppress(OSError):
            return os.readlink(f"{self._point}/{pid}/exe").removesuffix(_DELETED)
        return ""

    def cgroup(self, pid: int, *, on_v1: bool) -> tuple[str, ...] | None:
        """Return the path of its cgroup from the root down, on v1 that of the memory controller; None when it cannot be told."""
        try:
            with open(f"{self._point}/{pid}/cgroup", "rb") as file:
                lines = file.read().split(b"\n")[:-1]  # a name may hold whatever else ends a line for Python
        except OSError:
            return None
        for line in lines:
            _, controllers, path = line.split(b":", 2)
            if (b"memory" in controllers.split(b",")) if on_v1 else not controllers:
                names = tuple(os.fsdecode(path).strip("/").split("/"))
                return None if ".." in names else tuple(filter(None, names))  # .. leads out of this cgroup namespace
        return None


def _stat(line: bytes) -> Stat:
    head, _, tail = line.rpartition(b")")  # a name may hold what it likes, parentheses too
    pid, _, comm = head.partition(b" (")
    fields = tail.split()
    return Stat(int(pid), os.fsdecode(comm), int(fields[1]), int(fields[19]) * TICK)
