"""Which groups are one incident: those that share a volume, a cause and a workload, or a cause that began at once on many hosts."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from perflens.analysis import MergedBy
from perflens.fleet.groups import Group, links

__all__ = ["AT_ONCE", "Merger", "least_hosts", "mergers"]

AT_ONCE = 180_000_000_000
"""ns from the first to the last of the incidents that one cause, begun everywhere at once, may have made."""

_LEAST, _PART_OF_FLEET = 3, 0.02
_UNEXPLAINED = "UNEXPLAINED"


@dataclass(frozen=True, slots=True)
class Merger:
    """Groups that are one incident, and why. The first of ``groups`` is the one that the others become a part of."""

    groups: tuple[Group, ...]
    why: MergedBy


def least_hosts(known: int) -> int:
    """Return on how many hosts of so many a cause has to begin at once to be one incident: the more hosts, the more coincidences."""
    return max(_LEAST, ceil(known * _PART_OF_FLEET))


def mergers(groups: Sequence[Group], known: int) -> Iterator[Merger]:
    """Yield the first merger that is to be made; once it was made, ask again. ``groups`` are open, ``known`` the agents that are up.

    What is merged stays merged while it lasts.
    """
    yield from _linked(groups)
    yield from _at_once(groups, least_hosts(known))


def _linked(groups: Sequence[Group]) -> Iterator[Merger]:
    found: defaultdict[tuple[MergedBy, str], list[Group]] = defaultdict(list)
    for group in groups:
        for link in dict.fromkeys(link for part in group.lasting for link in links(part)):
            found[link].append(group)
    for (why, name), sharing in found.items():
        hosts = {part.incident.host for group in sharing for part in group.lasting if (why, name) in links(part)}
        if len(sharing) > 1 and len(hosts) > 1:
            yield Merger(_ordered(sharing), why)


def _at_once(groups: Sequence[Group], least: int) -> Iterator[Merger]:
    by_cause: defaultdict[str, list[tuple[int, str, Group]]] = defaultdict(list)
    for group in groups:
        for part in group.lasting:
            at = group.opened if group.merged_by == "cause" else part.incident.opened  # it does not grow from one to the next
            by_cause[part.incident.cause].append((at, part.incident.host, group))
    for cause, begun in by_cause.items():
        if cause == _UNEXPLAINED:  # they may have nothing in common but that
            continue
        begun.sort(key=lambda own: (own[0], own[1], own[2].id))
        times = [at for at, _, _ in begun]
        for number, at in enumerate(times):
            own = begun[number : bisect_right(times, at + AT_ONCE)]
            together = {group.id: group for _, _, group in own}
            if len(together) > 1 and len({host for _, host, _ in own}) >= least:
                yield Merger(_ordered(together.values()), "cause")
                break
            if len(own) == len(begun) - number:
                break  # the next ones see no more


def _ordered(groups: Iterable[Group]) -> tuple[Group, ...]:
    """One that was told stays the incident that it is; else the one that began first."""
    return tuple(sorted(groups, key=lambda own: (not own.told, own.opened, own.id)))
