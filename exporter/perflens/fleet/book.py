"""The incidents of a fleet from one round to the next: opened, merged, kept up to date, resolved, reopened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from perflens.analysis import Incident
from perflens.analyzer.incidents import Explanation
from perflens.analyzer.words import uncited
from perflens.fleet.groups import HISTORY, Group, Key, Part, Words, group_of, incident_of, joined, links
from perflens.fleet.merging import mergers

__all__ = ["Book", "Reading"]

_SECOND = 1_000_000_000
_SETTLES, _LOST_AFTER, _REOPENS_WITHIN = 14 * _SECOND, 600 * _SECOND, 600 * _SECOND
_AHEAD = 60 * _SECOND
_PARTS, _PARTS_OF_ONE, _GROUPS_OPEN, _RESOLVED_KEPT = 2_000, 500, 1_000, 200


@dataclass(frozen=True, slots=True)
class Reading:
    """The incidents that are open on a host, as its agent has told them."""

    host: str
    incidents: tuple[Incident, ...]


class Book:
    """``open`` and ``resolved`` are the groups. Times are ns since the epoch. It belongs to the event loop.

    ``merges`` counts groups that became a part of another one by reason, ``dropped`` incidents that there was no room for, ``lost`` those
    whose agent was not heard of for ten minutes.
    """

    def __init__(self, fleet: str, known: Iterable[Group] = ()) -> None:
        groups = list(known)
        self.fleet = fleet
        self.open = {own.id: own for own in groups if own.state == "open"}
        self.resolved = {own.id: own for own in groups if own.state == "resolved"}
        self.merges: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.dropped = self.lost = 0
        self._began = 0

    @property
    def incidents(self) -> list[Incident]:
        """Every incident that was told, the newest first."""
        told = [own for own in (*self.open.values(), *self.resolved.values()) if own.told]
        return [incident_of(own, self.fleet) for own in sorted(told, key=lambda own: (own.opened, own.id), reverse=True)]

    @property
    def active(self) -> tuple[tuple[str, str, str], ...]:
        """Cause, subject and severity of each that is open."""
        found = [incident_of(own, self.fleet) for own in self.open.values() if own.told]
        return tuple((own.cause, str(own.subject), own.severity) for own in found)

    def update(self, readings: Sequence[Reading], known: int, now: int) -> list[Incident]:
        """Take in a round; ``known`` is how many agents are up. Return the incidents that are to be told: open ones, and those that ended.

        A new one is told in the next round, when others that belong to it have had their time to come.
        """
        self._began = self._began or now
        ended: list[Group] = []
        for reading in readings:
            self._take(reading, now)
        self._lose(now)
        ended += self._merge(known, now)
        ended += self._resolve(now)
        for own in list(self.open.values()):
            self.open[own.id] = self._told(own, now)
        while len(self.resolved) > _RESOLVED_KEPT:
            del self.resolved[next(iter(self.resolved))]
        return [incident_of(own, self.fleet) for own in (*(own for own in self.open.values() if own.told), *ended)]

    async def explained(self, identity: str, told: Explanation) -> Incident | None:
        """Put a model's words to an incident; None when it has ended, or has another cause meanwhile."""
        own = self.open.get(identity)
        if own is None or own.lead.incident.cause != told.cause:
            return None
        words = Words(own.lead.key, told.cause, uncited(told.summary), told.source, told.model)  # the facts of a host change
        self.open[identity] = replace(own, words=words)
        return incident_of(self.open[identity], self.fleet)

    def _take(self, reading: Reading, now: int) -> None:
        where = {part.key: group.id for group in self.open.values() for part in group.parts}
        told: set[Key] = set()
        for incident in reading.incidents:
            part = Part(_dated(replace(incident, host=reading.host), now), now)
            told.add(part.key)
            if part.key in where:
                self._put_part(self.open[where[part.key]], part)
            elif len(where) >= _PARTS or len(self.open) >= _GROUPS_OPEN:
                self.dropped += 1
            else:
                where[part.key] = self._begin(part, now).id
        for group in list(self.open.values()):
            for part in group.parts:
                if part.is_open and part.incident.host == reading.host and part.key not in told:
                    self._put_part(group, _closed(part, now))
                    group = self.open[group.id]

    def _begin(self, part: Part, now: int) -> Group:
        """Open a group for a new incident, or again the one that it, or one that shares something with it, was in lately."""
        mine = set(links(part))
        for own in reversed(self.resolved.values()):
            is_recent = now - own.resolved <= _REOPENS_WITHIN and not own.absorbed
            if is_recent and any(part.key == other.key or mine & set(links(other)) for other in own.parts):
                del self.resolved[own.id]
                again = replace(own, resolved=0, reopened=own.reopened + 1)
                self.open[own.id] = again
                return self._put_part(again, part)
        new = group_of(part)
        self.resolved.pop(new.id, None)
        self.open[new.id] = new
        return new

    def _put_part(self, group: Group, part: Part) -> Group:
        parts = {own.key: own for own in group.parts} | {part.key: part}
        over = [key for key, own in parts.items() if not own.is_open][: max(len(parts) - _PARTS_OF_ONE, 0)]
        for key in over:
            del parts[key]
        hosts = {host for host, _ in parts}
        why = group.merged_by or (next((why for why, _ in links(part)), "") if len(hosts) > 1 else "")
        self.open[group.id] = changed = replace(group, parts=tuple(parts.values()), merged_by=why)
        return changed

    def _lose(self, now: int) -> None:
        for group in list(self.open.values()):
            for part in group.parts:
                if part.is_open and now - max(part.seen, self._began) > _LOST_AFTER:  # before that nobody listened
                    self.lost += 1
                    group = self._put_part(group, _closed(part, now))

    def _merge(self, known: int, now: int) -> list[Group]:
        """Merge until there is nothing to merge; return the groups that were told and now are a part of another one."""
        ended = []
        while merger := next(mergers(list(self.open.values()), known), None):
            first, *others = merger.groups
            self.open[first.id] = joined(first, others, merger.why)
            self.merges[merger.why] += len(others)
            for own in others:
                del self.open[own.id]
                if own.told:
                    gone = replace(own, resolved=now, absorbed=first.id)
                    self.resolved[own.id] = gone
                    ended.append(gone)
        return ended

    def _resolve(self, now: int) -> list[Group]:
        over = [own for own in self.open.values() if not any(part.is_open for part in own.parts)]
        ended = []
        for own in over:
            del self.open[own.id]
            self._count(own)
            self.resolved[own.id] = done = replace(own, resolved=now, told=True)
            ended.append(done)
        return ended

    def _told(self, own: Group, now: int) -> Group:
        cause = own.lead.incident.cause
        if own.cause != cause:
            history = (*own.history, (now, own.cause))[-HISTORY:] if own.told else own.history
            own = replace(own, cause=cause, history=history)
        if not own.told and now - own.first_seen >= _SETTLES:
            self._count(own)
            own = replace(own, told=True)
        return own

    def _count(self, own: Group) -> None:
        if not own.told:
            self.opened[own.lead.incident.cause] += 1


def _dated(own: Incident, now: int) -> Incident:
    """An agent's clock may be wrong: nothing has happened in the future."""
    latest = now + _AHEAD
    return replace(own, opened=min(own.opened, latest), updated=min(own.updated, latest), last_bad=min(own.last_bad, latest))


def _closed(own: Part, now: int) -> Part:
    return replace(own, incident=replace(own.incident, state="resolved", resolved=now))
