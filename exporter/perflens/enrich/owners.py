"""Every owner that has cells: its name, kept after it is gone, and which of them are gone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from perflens.enrich.symbols.bounded import Bounded
from perflens.enrich.units import shown, unit_of
from perflens.model import OWNER_UNKNOWN, Owner

__all__ = ["Owners"]

_CHECKED_AT_ONCE = 500
_TOLD = 4_096
_NOBODY = Owner(OWNER_UNKNOWN, "", "unknown")


class Tree(Protocol):
    """What Owners asks of the cgroup tree."""

    @property
    def searchable(self) -> bool: ...
    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool: ...
    def find(self, cgroup_id: int) -> tuple[str, ...] | None: ...


class Owners:
    """Owners by cgroup id.

    ``unnamed`` counts those whose path neither the kernel nor the tree could tell in full, ``cut`` those whose name was too long.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[int, tuple[Owner, tuple[str, ...] | None]] = {}
        self._queue: deque[int] = deque()
        self._gone: set[int] = set()
        self._told = Bounded[int, tuple[str, ...]](_TOLD)
        self.unnamed = self.cut = 0

    def __len__(self) -> int:
        return len(self._known)

    def resolve(self, cgroup_id: int, path: Sequence[str], *, complete: bool) -> Owner:
        """Return the owner; a path that is not complete is looked up in the tree. OWNER_UNKNOWN is in none, and never gone."""
        if cgroup_id == OWNER_UNKNOWN:
            return _NOBODY
        known = self._known.get(cgroup_id)
        if known is None:
            found = tuple(path) if complete else self._told.get(cgroup_id) or self._tree.find(cgroup_id)
            known = (_owner(cgroup_id, found, path), found)
            self.unnamed += found is None
            self.cut += found is not None and known[0].unit.startswith("…")
            self._known[cgroup_id] = known
            self._queue.appendleft(cgroup_id)
        elif cgroup_id in self._gone:  # its last operation ended after its cells were killed
            self._gone.discard(cgroup_id)
            self._queue.append(cgroup_id)
        return known[0]

    def tell(self, cgroup_id: int, path: tuple[str, ...]) -> None:
        """Take in the path of a cgroup that was made; any one thread may. It is asked for when the cgroup may be gone."""
        self._told.put(cgroup_id, path)

    def known(self, cgroup_id: int) -> Owner | None:
        """Return an owner that was resolved before; any thread may ask."""
        if cgroup_id == OWNER_UNKNOWN:
            return _NOBODY
        found = self._known.get(cgroup_id)
        return found[0] if found else None

    def gone(self) -> list[int]:
        """Check the next owners, the newest and those not looked at for longest; return the ids of those that are gone."""
        dead = []
        for _ in range(min(len(self._queue), _CHECKED_AT_ONCE)):
            cgroup_id = self._queue.popleft()
            path = self._known[cgroup_id][1]
            if self._tree.searchable if path is None else self._tree.is_gone(path, cgroup_id):
                dead.append(cgroup_id)
            else:
                self._queue.append(cgroup_id)
        self._gone.update(dead)
        return dead

    def paths(self, most: int) -> dict[str, str]:
        """Return the path of the cgroup behind each unit, of those that are not gone, ``most`` of them: the newest."""
        found: dict[str, str] = {}
        for cgroup_id, (owner, path) in reversed(self._known.items()):
            if path is not None and cgroup_id not in self._gone and owner.unit not in found:
                names = path[: path.index(owner.unit) + 1] if owner.unit in path else path
                found[owner.unit] = "/" + "/".join(names)
                if len(found) == most:
                    break
        return found

    def all_gone(self) -> list[int]:
        """Return the owners that are gone and not forgotten yet."""
        return list(self._gone)

    def forget(self, cgroup_id: int) -> None:
        """Drop an owner that is gone, once it has no cells."""
        if cgroup_id in self._gone:
            self._gone.discard(cgroup_id)
            del self._known[cgroup_id]


def _owner(cgroup_id: int, found: tuple[str, ...] | None, partial: Sequence[str]) -> Owner:
    if found is not None:
        return Owner(cgroup_id, shown("/" + "/".join(found)), unit_of(found))
    return Owner(cgroup_id, "", f"…{unit_of(partial)}" if partial else "unknown")
