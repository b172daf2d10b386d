"""Where the cgroup controllers are mounted, and in which cgroup of each hierarchy a process is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from perflens.analyzer.readings.files import read
from perflens.analyzer.readings.mountinfo import parse_mountinfo

__all__ = ["CgroupPaths", "Hierarchies", "clean", "find_hierarchies", "find_paths", "parse_cgroup"]

_V1 = ("cpu", "cpuacct", "memory", "blkio")
_ALL = 1 << 16  # bytes of cgroup.procs in which a PID is looked for


class Hierarchies(NamedTuple):
    """The mount points of the v1 controllers and of the v2 tree, each empty where it is not mounted.

    Controllers that have no v1 mount are those of the v2 tree, if it has them; a hybrid host may have a v2 tree without any.
    """

    unified: str = ""
    cpu: str = ""
    cpuacct: str = ""
    memory: str = ""
    blkio: str = ""

    @property
    def owner(self) -> str:
        """The mount point of the hierarchy that owners' paths are of: on v1 the memory controller's."""
        return self.memory or self.unified

    @property
    def has_v1(self) -> bool:
        """Whether a controller has a hierarchy of its own."""
        return bool(self.cpu or self.cpuacct or self.memory or self.blkio)


class CgroupPaths(NamedTuple):
    """A cgroup in each hierarchy, ``/`` for a root: ``own`` in the owner's, the others where its processes are there."""

    own: str
    cpu: str
    cpuacct: str
    blkio: str
    unified: str


def find_hierarchies(mountinfo: bytes) -> Hierarchies:
    """Find the hierarchies in the text of a mountinfo. A mount of a part of a tree is second choice."""
    found: dict[str, str] = {}
    for mount in sorted(parse_mountinfo(mountinfo), key=lambda own: own.root != "/"):
        if mount.fstype == "cgroup2":
            found.setdefault("unified", mount.point)
        elif mount.fstype == "cgroup":
            for controller in _V1:
                if controller in mount.options:
                    found.setdefault(controller, mount.point)
    return Hierarchies(**found)


def clean(path: str) -> str | None:
    """Return a cgroup's path from the root down, ``/`` for the root; None for one that leads out of the tree."""
    names = [name for name in path.split("/") if name and name != "."]
    return None if ".." in names or "\0" in path else "/" + "/".join(names)


def parse_cgroup(text: bytes) -> dict[str, str]:
    """Parse /proc/PID/cgroup, lines as ``4:cpu,cpuacct:/a`` (cgroups(7)): the path by controller, that of the v2 tree by ``""``.

    Paths out of the reader's cgroup namespace are left out.
    """
    found = {}
    for line in text.split(b"\n"):  # a name may hold whatever else ends a line for Python
        words = line.split(b":", 2)
        path = clean(os.fsdecode(words[2])) if len(words) == 3 and words[2].startswith(b"/") else None
        if path is not None:
            found.update(dict.fromkeys(os.fsdecode(words[1]).split(","), path))
    return found


def find_paths(procfs: str, hierarchies: Hierarchies, own: str) -> CgroupPaths:
    """Return the cgroup at a path of the owner's hierarchy in all of them: where one of its processes is, else at the same path."""
    if own == "/" or not hierarchies.has_v1:
        return CgroupPaths(own, own, own, own, own)
    others = _of_a_process(procfs, f"{hierarchies.owner}{own}/cgroup.procs")
    return CgroupPaths(own, *(others.get(controller, own) for controller in ("cpu", "cpuacct", "blkio", "")))


def _of_a_process(procfs: str, procs: str) -> Mapping[str, str]:
    for pid in _first(read(procs) or b""):
        if text := read(f"{procfs}/{pid}/cgroup"):
            return parse_cgroup(text)
    return {}


def _first(pids: bytes) -> list[int]:
    """The first PIDs, some of which may be gone; 0 stands for one of another PID namespace."""
    return [int(word) for word in pids[:_ALL].split(maxsplit=4)[:4] if word.isdigit() and len(word) < 11 and int(word)]
