"""A group is one incident of the fleet: the incidents of hosts that have something in common, or a single one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2s

from perflens.analysis import Bundle, Hypothesis, Impact, Incident, Member, MergedBy, Severity, Source, State, Subject

__all__ = ["HISTORY", "Group", "Key", "Part", "Words", "group_of", "incident_of", "joined", "light", "links"]

HISTORY = 20
"""Most causes of before that are known of a group."""

_MEMBERS, _NAMED, _LONGEST_NAME = 200, 5, 300
_RANKS: tuple[MergedBy, ...] = ("", "volume", "workload", "cause")
_REASONS: dict[MergedBy, str] = {
    "volume": "which share the volume {name}",
    "workload": "all of the workload {name}",
    "cause": "which began within minutes of each other",
}

Key = tuple[str, str]
"""A host, and the id that its agent has given to an incident."""


@dataclass(frozen=True, slots=True)
class Part:
    """An incident of a host, as it was ``seen`` last (ns since the epoch, of this clock)."""

    incident: Incident
    seen: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.incident.host, self.incident.id

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.incident.state == "open"


@dataclass(frozen=True, slots=True)
class Words:
    """What a model has said of the incident ``of`` a host, whose first cause was ``cause``."""

    of: Key
    cause: str
    summary: str
    source: Source
    model: str


@dataclass(frozen=True, slots=True)
class Group:
    """``first_seen`` and ``resolved`` are of this clock, ``opened`` of the hosts'; ns since the epoch, ``resolved`` 0 while it lasts.

    ``cause`` is the first cause as it was told last, ``told`` whether it was. ``absorbed`` is the id of the group that it became a part
    of, empty for none.
    """

    id: str
    opened: int
    first_seen: int
    parts: tuple[Part, ...]
    merged_by: MergedBy = ""
    told: bool = False
    resolved: int = 0
    reopened: int = 0
    cause: str = ""
    history: tuple[tuple[int, str], ...] = ()
    words: Words | None = None
    absorbed: str = ""

    @property
    def state(self) -> State:
        """Whether it lasts."""
        return "resolved" if self.resolved else "open"

    @property
    def updated(self) -> int:
        """When one of its incidents was last judged."""
        return self.resolved or max(own.incident.updated for own in self.parts)

    @property
    def lasting(self) -> tuple[Part, ...]:
        """The parts that are open; all of them once it is over."""
        return tuple(own for own in self.parts if own.is_open) or self.parts

    @property
    def hosts(self) -> list[str]:
        """The hosts of all parts, each once, those that were first before."""
        ordered = sorted(self.parts, key=lambda own: (own.incident.opened, own.key))
        return list(dict.fromkeys(own.incident.host for own in ordered))

    @property
    def lead(self) -> Part:
        """The one that stands for all: of those that last the one that began first."""
        return min(self.lasting, key=lambda own: (own.incident.opened, own.key))


def group_of(part: Part) -> Group:
    """Return a new group of one incident. Its id is the same wherever it is made."""
    host, identity = part.key
    made = blake2s(f"fleet|{host}|{identity}|{part.incident.opened}".encode(), digest_size=4).hexdigest()
    return Group(made, part.incident.opened, part.seen, (part,), cause=part.incident.cause)


def links(part: Part) -> Iterable[tuple[MergedBy, str]]:
    """Yield what an incident shares with those of other hosts: its volume, and its cause together with its workload.

    The volume is that of the first cause about a disk which has one. A disk's name is nothing that hosts share.
    """
    causes = part.incident.causes
    volume = next((own.subject.volume for own in causes if own.subject.kind == "device" and own.subject.volume), "")
    if volume:
        yield "volume", volume
    if causes and causes[0].subject.workload:
        yield "workload", f"{causes[0].code} {causes[0].subject.workload}"


def joined(first: Group, others: Iterable[Group], why: MergedBy) -> Group:
    """Return the first group with the incidents of the others, merged for the weakest of all reasons."""
    others = tuple(others)
    parts = {own.key: own for group in (first, *others) for own in group.parts}
    reason = max((why, first.merged_by, *(own.merged_by for own in others)), key=_RANKS.index)
    opened = first.opened if first.told else min(own.opened for own in (first, *others))
    return replace(first, parts=tuple(parts.values()), merged_by=reason, opened=opened)


def incident_of(own: Group, fleet: str) -> Incident:
    """Return the group as one incident, told in the words of the one that leads it. ``fleet`` is the name that stands for a host."""
    lead = own.lead.incident
    severities: set[Severity] = {part.incident.severity for part in own.parts}
    words = own.words if own.words and (own.words.of, own.words.cause) == (own.lead.key, lead.cause) else None
    return Incident(
        own.id,
        fleet,
        own.state,
        "critical" if "critical" in severities else "warning",
        own.opened,
        own.updated,
        max(part.incident.last_bad for part in own.parts),
        own.resolved,
        _summary(own, words.summary if words else lead.summary),
        tuple(_of_fleet(cause, own) for cause in lead.causes),
        lead.bundle,
        words.source if words else lead.source,
        words.model if words else lead.model,
        own.history,
        own.reopened,
        tuple(map(_member, sorted(own.parts, key=lambda part: (part.incident.opened, part.key))[:_MEMBERS])),
        own.merged_by,
    )


def light(own: Group) -> Group:
    """Return the group with the evidence of its lead alone, to be kept: that of others is read again when it is wanted."""
    lead = own.lead.key
    return replace(own, parts=tuple(part if part.key == lead else _without_evidence(part) for part in own.parts))


def _without_evidence(own: Part) -> Part:
    bundle = Bundle(own.incident.host, 0, 0, 0, Impact(), (), (), own.incident.bundle.verdict)
    return replace(own, incident=replace(own.incident, bundle=bundle))


def _of_fleet(cause: Hypothesis, own: Group) -> Hypothesis:
    """A cause whose subject tells on which host, or what several have in common."""
    subject = cause.subject
    shared = _shared(own)
    if shared:
        named = Subject("host" if own.merged_by == "cause" else subject.kind, shared, subject.volume, subject.workload)
    else:
        host = own.lead.incident.host
        named = replace(subject, name=(f"{host}:{subject.name}" if subject.name else host)[:_LONGEST_NAME])
    return replace(cause, subject=named)


def _shared(own: Group) -> str:
    """The name of what all parts of a group share, empty for a single one."""
    if not own.merged_by:
        return ""
    if own.merged_by == "cause":
        return "several hosts"
    found = [name for part in own.parts for why, name in links(part) if why == own.merged_by]
    return found[0].rpartition(" ")[2] if found and own.merged_by == "workload" else found[0] if found else "several hosts"


def _summary(own: Group, words: str) -> str:
    if own.absorbed:
        return f"It is told as a part of incident {own.absorbed}. On {own.lead.incident.host}: {words}"
    hosts = own.hosts
    if not own.merged_by:
        return f"On {hosts[0]}: {words}"
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    reason = _REASONS[own.merged_by].format(name=_shared(own))
    return f"On {', '.join(hosts[:_NAMED])}{more}, {reason}. On {own.lead.incident.host}: {words}"


def _member(own: Part) -> Member:
    one = own.incident
    return Member(one.host, one.id, one.state, one.severity, one.cause, one.subject, one.opened, one.updated)
