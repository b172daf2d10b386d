"""Which cgroups a filter by the names of pods lets pass: each pod's is decided as soon as its name is known, and never before."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from perflens.enrich.containers import Container, pods_around
from perflens.model import Pod

__all__ = ["Selection", "Verdict", "Wanted"]

Verdict = Literal["", "wanted", "unwanted", "undecided"]
"""Of a cgroup, and of what is below it without one of its own; empty for one that the kernel side is to forget."""

_STATES = ("wanted", "unwanted", "undecided", "no_room")
_WALK_LIMIT = 20_000
_LOOKS_FOR_A_WALK = 30
_LOOKS_KEPT = 30


class Folders(Protocol):
    """What it asks of the cgroup tree."""

    def folders(self, path: Sequence[str]) -> Iterator[tuple[str, int]]: ...
    def id_of(self, path: str) -> int: ...


class Names(Protocol):
    """What it asks of the pods that are known."""

    def find(self, uid: str, container_id: str) -> Pod | None: ...


class Wanted(NamedTuple):
    """Names of which one has to fit, of each kind that has some; ``*`` stands for any characters."""

    namespaces: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()


@dataclass(slots=True)
class _Group:
    path: tuple[str, ...]
    container: Container
    verdict: Verdict = ""
    unseen: int = 0


class Selection:
    """Decides for the cgroups of pods, and of their containers where ``wanted`` names some. Used on one thread.

    ``decide`` sets the kernel side's verdict on a cgroup, and is never asked for more than ``room`` at a time. What is in no pod has no
    verdict. The cgroups that pods lie in are undecided, so that a pod which nobody told of yet is.
    """

    def __init__(self, tree: Folders, wanted: Wanted, pods: Names, decide: Callable[[int, Verdict], None], room: int) -> None:
        self._tree, self._pods, self._decide, self._room = tree, pods, decide, room
        self._namespaces, self._names, self._containers = map(_fitting, wanted)
        self._groups: dict[int, _Group] = {}
        self._parents: dict[tuple[str, ...], int] = {}
        self._set: dict[int, Verdict] = {}
        self._looks = 0

    def look(self) -> None:
        """Find the cgroups of pods that nobody told of, let go those that are gone for a minute, and decide what can be decided."""
        if self._looks % _LOOKS_FOR_A_WALK == 0:
            self._walk()
        self._looks += 1
        seen = {cgroup_id for path in list(self._parents) for cgroup_id in self._below(path)}
        for path, before in self._parents.items():
            self._parents[path] = now = self._tree.id_of("/" + "/".join(path))
            if now != before:
                self._put(before, "")
                self._put(now, "undecided")
        for cgroup_id, group in list(self._groups.items()):
            group.unseen = 0 if cgroup_id in seen or self._tree.id_of("/" + "/".join(group.path)) == cgroup_id else group.unseen + 1
            if group.unseen > _LOOKS_KEPT:  # until then what it left behind may still be written
                self._put(cgroup_id, "")
                del self._groups[cgroup_id]
        self.settle()

    def made(self, cgroup_id: int, path: Sequence[str]) -> None:
        """Take in a cgroup that was made."""
        if cgroup_id in self._groups:
            return
        around = next(pods_around(path), None)
        parent = next(pods_around(path[:-1]), None)
        if around is None or (parent and (parent.id or not around.id or not self._containers)):
            return  # in no pod, or what is around it decides
        above = tuple(path[:-1])
        if not parent and not around.id and above and above not in self._parents:
            self._parents[above] = self._tree.id_of("/" + "/".join(above))
            self._put(self._parents[above], "undecided")
        group = self._groups[cgroup_id] = _Group(tuple(path), around)
        self._settle(cgroup_id, group)

    def settle(self) -> None:
        """Decide again what is undecided, since names came, and what there was no room for."""
        for cgroup_id, group in self._groups.items():
            if group.verdict in ("", "undecided"):
                self._settle(cgroup_id, group)

    def verdicts(self) -> Mapping[int, Verdict]:
        """Return the verdicts that were set, by cgroup."""
        return self._set

    def counts(self) -> Mapping[str, int]:
        """Return how many cgroups of pods and containers there are by verdict."""
        found = Counter[str](group.verdict or "no_room" for group in self._groups.values())
        return {state: found[state] for state in _STATES}

    def _walk(self) -> None:
        """Look through the cgroups that are in no pod, those near the root first."""
        left = deque[tuple[str, ...]]([()])
        for _ in range(_WALK_LIMIT):
            if not left:
                return
            path = left.popleft()
            for name, cgroup_id in self._tree.folders(path):
                own = (*path, name)
                if next(pods_around(own), None):
                    self.made(cgroup_id, own)
                else:
                    left.append(own)

    def _below(self, path: tuple[str, ...]) -> Iterator[int]:
        """The pods right below a cgroup, and their containers."""
        for name, cgroup_id in self._tree.folders(path):
            own = (*path, name)
            self.made(cgroup_id, own)
            if cgroup_id in self._groups:
                yield cgroup_id
                for container, number in self._tree.folders(own) if self._containers else ():
                    self.made(number, (*own, container))
                    yield number

    def _settle(self, cgroup_id: int, group: _Group) -> None:
        verdict = self._verdict(group.container)
        if verdict != group.verdict and self._put(cgroup_id, verdict):
            group.verdict = verdict

    def _verdict(self, container: Container) -> Verdict:
        pod = self._pods.find(container.pod_uid, container.id)
        if pod is None:
            return "undecided"
        if not (_fits(self._namespaces, pod.namespace) and _fits(self._names, pod.name)):
            return "unwanted"
        if self._containers and not pod.container:
            return "undecided"
        return "wanted" if _fits(self._containers, pod.container) else "unwanted"

    def _put(self, cgroup_id: int, verdict: Verdict) -> bool:
        """Set a verdict; False when there is no room for it. A cgroup that does not exist, 0, has none."""
        if not cgroup_id or (not verdict and cgroup_id not in self._set):
            return True
        if verdict and cgroup_id not in self._set and len(self._set) == self._room:
            return False
        self._decide(cgroup_id, verdict)
        if verdict:
            self._set[cgroup_id] = verdict
        else:
            del self._set[cgroup_id]
        return True


def _fitting(names: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names)) if names else None


def _fits(pattern: re.Pattern[str] | None, name: str) -> bool:
    return pattern is None or pattern.fullmatch(name) is not None
