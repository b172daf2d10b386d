"""Every owner that has cells: its names, kept after it is gone, and which of them are gone."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from perflens.enrich.containers import Container, pods_around
from perflens.enrich.symbols.bounded import Bounded
from perflens.enrich.units import shown, unit_of
from perflens.model import NO_POD, OWNER_UNKNOWN, Owner, Pod
from perflens.owner_levels import name_at

__all__ = ["NoPods", "Owners", "Pods"]

_CHECKED_AT_ONCE = 500
_TOLD = 4_096
_PATIENCE = 10.0  # s
_BEHIND_ONE = 8  # cgroups of one name


class Tree(Protocol):
    """What Owners asks of the cgroup tree."""

    @property
    def searchable(self) -> bool: ...
    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool: ...
    def find(self, cgroup_id: int) -> tuple[str, ...] | None: ...


class Pods(Protocol):
    """What is known of pods; any thread may ask. ``tells`` says whether a name that is missing may still come."""

    @property
    def tells(self) -> bool: ...
    def find(self, uid: str, container_id: str) -> Pod | None: ...


class NoPods:
    """Of hosts where nobody tells."""

    tells = False

    def find(self, uid: str, container_id: str) -> Pod | None:
        """Return None."""
        return None


@dataclass(slots=True)
class _Record:
    owner: Owner
    path: tuple[str, ...] | None
    since: float
    around: tuple[Container, ...]
    is_settled: bool = False


class Owners:
    """Owners by cgroup id, named at a level (owner_levels.py) by what ``pods`` know of them.

    ``unnamed`` counts those whose path neither the kernel nor the tree could tell in full, ``cut`` those whose name was too long,
    ``unresolved`` those whose pod or container had no name in time. ``clock`` is in s and never goes back.
    """

    def __init__(self, tree: Tree, level: str = "unit", pods: Pods | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._tree, self._level, self._pods, self._clock = tree, level, pods or NoPods(), clock
        self._nobody = Owner(OWNER_UNKNOWN, "", "unknown", label=name_at(level, "unknown", NO_POD))
        self._known: dict[int, _Record] = {}
        self._queue: deque[int] = deque()
        self._gone: set[int] = set()
        self._told = Bounded[int, tuple[str, ...]](_TOLD)
        self.unnamed = self.cut = 0
        self._unresolved = Counter({"pod": 0, "container": 0})

    def __len__(self) -> int:
        return len(self._known)

    def resolve(self, cgroup_id: int, path: Sequence[str], *, complete: bool) -> Owner:
        """Return the owner; a path that is not complete is looked up in the tree. OWNER_UNKNOWN is in none, and never gone."""
        if cgroup_id == OWNER_UNKNOWN:
            return self._nobody
        known = self._known.get(cgroup_id)
        if known is None:
            found = tuple(path) if complete else self._told.get(cgroup_id) or self._tree.find(cgroup_id)
            owner = _owner(cgroup_id, found, path)
            known = _Record(owner, found, self._clock(), tuple(pods_around(found or ())))
            self.unnamed += found is None
            self.cut += found is not None and owner.unit.startswith("…")
            known.owner = replace(owner, label=name_at(self._level, owner.unit, NO_POD))
            self._known[cgroup_id] = known
            self._queue.appendleft(cgroup_id)
        elif cgroup_id in self._gone:  # its last operation ended after its cells were killed
            self._gone.discard(cgroup_id)
            self._queue.append(cgroup_id)
        return self._named(known)

    def is_settled(self, owner: Owner) -> bool:
        """Whether series may be bound to the name of an owner that was resolved: it is whole, or has been waited for long enough."""
        known = self._known.get(owner.cgroup_id)
        if known is None or known.is_settled:
            return True
        missing = self._missing(owner.pod)
        if missing and self._pods.tells and self._clock() < known.since + _PATIENCE:
            return False
        known.is_settled = True
        self._unresolved[missing] += 1
        return True

    @property
    def unresolved(self) -> Mapping[str, int]:
        """Return the owners whose pod, or whose container, had no name in time."""
        return {what: count for what, count in self._unresolved.items() if what}

    def _missing(self, pod: Pod) -> str:
        """What a name at this level lacks."""
        if self._level in ("node", "unit") or not pod.uid:
            return ""
        if not pod.name:
            return "pod"
        return "container" if self._level == "container" and pod.container_id and not pod.container else ""

    def _named(self, known: _Record) -> Owner:
        """The owner with what is known of its pod by now; it is replaced as a whole, so that any thread may ask."""
        owner = known.owner
        if known.around and not (owner.pod.name and (owner.pod.container or not owner.pod.container_id)):
            pod = self._pod(known.around)
            if pod != owner.pod:
                owner = known.owner = replace(owner, pod=pod, label=name_at(self._level, owner.unit, pod))
        return owner

    def _pod(self, around: Sequence[Container]) -> Pod:
        for own in around:
            pod = self._pods.find(own.pod_uid, own.id)
            if pod:
                return pod
        return Pod(around[0].pod_uid, around[0].id)

    def tell(self, cgroup_id: int, path: tuple[str, ...]) -> None:
        """Take in the path of a cgroup that was made; any one thread may. It is asked for when the cgroup may be gone."""
        self._told.put(cgroup_id, path)

    def known(self, cgroup_id: int) -> Owner | None:
        """Return an owner that was resolved before; any thread may ask."""
        if cgroup_id == OWNER_UNKNOWN:
            return self._nobody
        found = self._known.get(cgroup_id)
        return self._named(found) if found else None

    def gone(self) -> list[int]:
        """Check the next owners, the newest and those not looked at for longest; return the ids of those that are gone."""
        dead = []
        for _ in range(min(len(self._queue), _CHECKED_AT_ONCE)):
            cgroup_id = self._queue.popleft()
            path = self._known[cgroup_id].path
            if self._tree.searchable if path is None else self._tree.is_gone(path, cgroup_id):
                dead.append(cgroup_id)
            else:
                self._queue.append(cgroup_id)
        self._gone.update(dead)
        return dead

    def paths(self, weights: Mapping[str, float] = MappingProxyType({})) -> dict[str, str]:
        """Return the names behind the paths of cgroups that are not gone: the heaviest by name first, then the newest."""
        found: dict[str, dict[str, bool]] = {}
        for cgroup_id, known in reversed(self._known.items()):
            owner, path = known.owner, known.path
            if path is None or cgroup_id in self._gone:
                continue
            own = path[: path.index(owner.unit) + 1] if owner.unit in path and not owner.pod.uid else path
            found.setdefault(owner.name, {})["/" + "/".join(own)] = bool(owner.pod.container)
        ordered = sorted(found, key=lambda name: weights.get(name, 0.0), reverse=True)
        return {path: name for name in ordered for path in _named(found[name])}

    def workloads(self) -> dict[str, str]:
        """Return ``namespace/Kind/name`` of the workload by each name that is part of one; any thread may ask."""
        pods = ((known.owner.name, known.owner.pod) for known in list(self._known.values()))
        return {name: f"{pod.namespace}/{pod.workload}" for name, pod in pods if pod.workload}

    def all_gone(self) -> list[int]:
        """Return the owners that are gone and not forgotten yet."""
        return list(self._gone)

    def forget(self, cgroup_id: int) -> None:
        """Drop an owner that is gone, once it has no cells."""
        if cgroup_id in self._gone:
            self._gone.discard(cgroup_id)
            del self._known[cgroup_id]


def _named(paths: Mapping[str, bool]) -> list[str]:
    """Of paths, the newest first, those that are of containers with names, or all where none is: a pod begins with one that has none."""
    return ([path for path, is_named in paths.items() if is_named] or list(paths))[:_BEHIND_ONE]


def _owner(cgroup_id: int, found: tuple[str, ...] | None, partial: Sequence[str]) -> Owner:
    if found is not None:
        return Owner(cgroup_id, shown("/" + "/".join(found)), unit_of(found))
    return Owner(cgroup_id, "", f"…{unit_of(partial)}" if partial else "unknown")
