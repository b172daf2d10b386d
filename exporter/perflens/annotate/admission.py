"""Which row an incident is told in: the one that it has, a new one, or none when too many were made lately."""

from __future__ import annotations

from dataclasses import replace

from perflens.analysis import Incident
from perflens.annotate.html import PERFLENS, budget_text, tag
from perflens.annotate.outbox import DAY, Outbox
from perflens.annotate.rows import Annotation, Row, annotation_of, closed
from perflens.annotate.settings import GrafanaSettings

__all__ = ["BUDGET", "admit"]

BUDGET = "budget"
"""Stands for an incident's id in the row that tells of those without one."""

_HOUR = 3_600_000
_REOPENED = 900_000  # the analyzer reopens for 10 min after the end, which it sees some ticks late


def admit(outbox: Outbox, incident: Incident, settings: GrafanaSettings, now: int) -> tuple[str, bool]:
    """Put what an incident shall look like into the outbox, at ``now`` in ms; return the key of its row, and whether that is now hidden."""
    wanted = annotation_of(incident, settings.external_url)
    own = outbox.latest(incident.id)
    if own and _is_same(own, wanted, incident.reopened):
        time = own.wanted.time
        outbox.put(replace(own, wanted=replace(wanted, time=time, end=max(time + 1, wanted.end))))
        return own.key, False
    if own and own.is_open:
        outbox.put(closed(own))
    has_room = _has_room(outbox.rows, settings, now)
    row = Row(wanted, now, fate="" if has_room else "budget")
    outbox.put(row)
    if not has_room:
        _tell(outbox, settings, now)
    return row.key, not has_room


def _is_same(own: Row, wanted: Annotation, reopened: int) -> bool:
    """Whether it is the incident of the row. One still open may come with another onset, from an agent that has started anew."""
    gap = wanted.time - own.wanted.end
    return own.wanted.time == wanted.time or (own.is_open and gap < _HOUR) or (reopened > 0 and gap < _REOPENED)


def _has_room(rows: tuple[Row, ...], settings: GrafanaSettings, now: int) -> bool:
    made = [row.admitted for row in rows if row.fate != "budget" and row.wanted.incident != BUDGET]
    of_hour, of_day = (sum(now - span < admitted <= now for admitted in made) for span in (_HOUR, DAY))
    return of_hour < settings.rows_per_hour and of_day < settings.rows_per_day


def _tell(outbox: Outbox, settings: GrafanaSettings, now: int) -> None:
    """Begin the row that says how many are hidden, or extend it while they come within an hour of each other."""
    note = outbox.latest(BUDGET)
    begun = note.wanted.time if note and now - note.wanted.end < _HOUR else now
    hidden = sum(row.fate == "budget" and row.admitted >= begun for row in outbox.rows)
    text = budget_text(hidden, settings.rows_per_hour, settings.rows_per_day)
    tags = (PERFLENS, tag("host", settings.host), tag("incident", BUDGET))
    wanted = Annotation(BUDGET, begun, max(begun + 1, now), "resolved", text, text, tags)
    outbox.put(replace(note, wanted=wanted) if note and note.wanted.time == begun else Row(wanted, now))
