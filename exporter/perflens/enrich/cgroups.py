"""The mounted cgroup tree that owners come from: which of them are gone, and the path of one that the kernel gave no name."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic

from perflens.model import Mount

__all__ = ["CgroupTree", "find_tree"]

_ROOT_INODE = 1  # the kernfs id of a hierarchy's root, and the number of other file systems' roots
_OF_V1, _OF_V2 = "memory.stat", "cgroup.controllers"  # files that the root of the tree has, and no other one's
_WALK_LIMIT = 20_000
_LONG, _RESTS = 0.05, 10  # s of a walk that is not made for one cgroup alone, and for how many times as long it holds


class CgroupTree:
    """A cgroup hierarchy mounted at ``point``: the memory controller's on v1 hosts, else that of v2.

    ``usable`` unless only a part of it is visible here (a cgroup namespace), or something else is there; ``searchable`` until it proved
    too large to walk.
    """

    def __init__(self, point: str, *, on_v1: bool = False) -> None:
        self.point = point
        self.usable: bool = _inode(point) == _ROOT_INODE and os.path.exists(f"{point}/{_OF_V1 if on_v1 else _OF_V2}")
        self.searchable: bool = self.usable
        self._walked: dict[int, str] = {}
        self._walked_until = 0.0

    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool:
        """Whether the cgroup was removed: nothing is at its path, or another one (an id is never used again)."""
        if not self.usable:
            return False
        self._forget_walk()
        try:
            return os.stat("/".join((self.point, *path))).st_ino != cgroup_id
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def id_of(self, path: str) -> int:
        """Return the id of the cgroup at a path, 0 when there is none."""
        return _inode(self.point + path)

    def folders(self, path: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield name and id of each cgroup right below a path; none when it is gone or may not be read."""
        try:
            with os.scandir("/".join((self.point, *path))) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield entry.name, entry.inode()
        except OSError:
            return

    def find(self, cgroup_id: int) -> tuple[str, ...] | None:
        """Return the path of a cgroup by its id, from the root down; None when it is gone or the tree is too large to walk.

        A walk that takes long answers for others too, until ten times as long has passed: most that are made meanwhile are told of.
        """
        if not self.searchable:
            return None
        if monotonic() >= self._walked_until:
            self._walked = self._walk()
        found = self._walked.get(cgroup_id)
        self._forget_walk()
        return None if found is None else tuple(filter(None, found.split("/")))

    def _forget_walk(self) -> None:
        if monotonic() >= self._walked_until:
            self._walked = {}

    def _walk(self) -> dict[int, str]:
        """Paths by id. It keeps its own list of folders: whoever has cgroups may nest them deeper than Python nests calls."""
        began, paths, left = monotonic(), {_inode(self.point): ""}, deque([""])
        while left:
            above = left.popleft()
            for name, cgroup_id in self.folders((above,)):
                paths[cgroup_id] = own = f"{above}/{name}"
                left.append(own)
                if len(paths) > _WALK_LIMIT:
                    self.searchable = False
                    return paths
        took = monotonic() - began
        self._walked_until = began + (_RESTS * took if took > _LONG else 0)
        return paths


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def find_tree(mounts: Sequence[Mount], *, on_v1: bool, override: str = "") -> CgroupTree:
    """Return the tree of the memory controller on v1 hosts, else the v2 tree; ``override`` names its mount point."""
    if override:
        return CgroupTree(override, on_v1=on_v1)
    found = [
        mount for mount in mounts if ((mount.fstype == "cgroup" and "memory" in mount.options) if on_v1 else mount.fstype == "cgroup2")
    ]
    found.sort(key=lambda mount: mount.root != "/")  # a mount of a part of the tree is second choice
    return CgroupTree(found[0].point if found else "/sys/fs/cgroup", on_v1=on_v1)
