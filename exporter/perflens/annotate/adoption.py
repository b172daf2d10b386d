"""Rows that Grafana has already: of an agent that was killed, or of a POST without an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perflens.annotate.grafana import Found
from perflens.annotate.html import OPEN, PERFLENS, tag
from perflens.annotate.outbox import Outbox
from perflens.annotate.rows import Annotation, Row, Sent, digest

__all__ = ["adopt", "adopted", "find_tags", "matches", "span"]

_HOUR = 3_600_000
_INCIDENT = "incident:"


def find_tags(row: Row) -> tuple[str, ...]:
    """Return the tags that only the annotations of an incident have: the host and the incident."""
    own = tuple(each for each in row.wanted.tags if each.startswith("host:"))
    return (PERFLENS, *own, tag("incident", row.wanted.incident))


def span(row: Row, now: int) -> tuple[int, int]:
    """Return from when to when a row can lie, in ms."""
    return max(1, row.wanted.time - _HOUR), max(now, row.wanted.end) + _HOUR


def matches(row: Row, found: Iterable[Found]) -> list[Found]:
    """Return those that are the row. An earlier incident of the same id has another onset."""
    return [each for each in found if each.time == row.wanted.time]


def adopted(row: Row, found: Found) -> Row:
    """Return the row as delivered in the form in which it was found."""
    return replace(row, sent=Sent(found.id, digest(found.text), digest(*found.tags), found.end), doubt=False)


def adopt(outbox: Outbox, found: Iterable[Found]) -> None:
    """Give each open annotation that was found to its row; one without a row gets one, to be resolved unless its incident lasts."""
    for each in found:
        incident = next((tag.removeprefix(_INCIDENT) for tag in each.tags if tag.startswith(_INCIDENT)), "")
        if not incident or OPEN not in each.tags or any(row.sent.id == each.id for row in outbox.rows):
            continue
        own = [row for row in outbox.rows if row.wanted.incident == incident]
        exact = next((row for row in own if row.wanted.time == each.time), None)
        waiting = next((row for row in own if not row.sent.id and not row.fate and _continues(row, each)), None)
        if exact and exact.sent.id:
            outbox.put(replace(exact, again=True))
        elif row := exact or waiting:
            outbox.put(replace(adopted(row, each), fate=""))
        else:
            outbox.put(_stray(incident, each))


def _continues(row: Row, found: Found) -> bool:
    """Whether an annotation that was left open is of the same incident, which a new agent believes to have begun later."""
    return found.time <= row.wanted.end and row.wanted.time - found.end < _HOUR


def _stray(incident: str, found: Found) -> Row:
    wanted = Annotation(incident, found.time, max(found.end, found.time + 1), "open", found.text, found.text, found.tags)
    return Row(wanted, found.time).delivered(found.id)
