"""A row is one annotation in Grafana: what it shall show, what Grafana is known to have of it, and how far it has come."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from perflens.analysis import Incident, State
from perflens.annotate.html import brief_of, resolved_tags, tags_of, text_of

__all__ = ["Annotation", "Fate", "Row", "Sent", "annotation_of", "closed", "decode", "difference", "digest", "encode", "milliseconds"]

Fate = Literal["", "detached", "refused", "too_large", "budget"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a row shall show. Times in ms since the epoch, ``end`` after ``time``; ``brief`` stands for a text that is too long."""

    incident: str
    time: int
    end: int
    state: State
    text: str
    brief: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """What Grafana is known to have: the id of the annotation, 0 for none, digests of text and tags, and its end in ms."""

    id: int = 0
    text: str = ""
    tags: str = ""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """``admitted`` is when it was first wanted, in ms since the epoch.

    ``doubt``: a POST may have reached Grafana, so it is looked for before another. ``again``: there was a second POST, and the first may
    have come late. ``short``: the server refused the long text. ``fate`` says why nothing more is sent, empty while something may be.
    """

    wanted: Annotation
    admitted: int
    sent: Sent = Sent()
    doubt: bool = False
    again: bool = False
    short: bool = False
    fate: Fate = ""

    @property
    def key(self) -> str:
        """What tells it from other rows: a later incident of the same id has a row of its own."""
        return f"{self.wanted.incident}@{self.wanted.time}"

    @property
    def text(self) -> str:
        """The text that is sent."""
        return self.wanted.brief if self.short else self.wanted.text

    @property
    def is_open(self) -> bool:
        """Whether the incident lasts."""
        return self.wanted.state == "open"

    @property
    def is_pending(self) -> bool:
        """Whether something is still to be sent."""
        return not self.fate and (not self.sent.id or self.may_have_doubles or bool(difference(self)))

    @property
    def may_have_doubles(self) -> bool:
        """Whether it is the time to look for what a POST that was given up has made."""
        return self.again and not self.is_open

    def delivered(self, identity: int) -> Row:
        """Return the row as Grafana has it now, under an id."""
        sent = Sent(identity, digest(self.text), digest(*self.wanted.tags), self.wanted.end)
        return replace(self, sent=sent, doubt=False)


def annotation_of(incident: Incident, external_url: str = "") -> Annotation:
    """Return what an incident shall look like: from its onset to where it was last seen, or was last bad."""
    time = milliseconds(incident.opened)
    end = milliseconds(incident.last_bad if incident.state == "resolved" else incident.updated)
    text, brief = text_of(incident, external_url), brief_of(incident, external_url)
    return Annotation(incident.id, time, max(time + 1, end), incident.state, text, brief, tags_of(incident))


def closed(row: Row) -> Row:
    """Return the row of an incident of which nothing more was heard: resolved where it was last seen."""
    return replace(row, wanted=replace(row.wanted, state="resolved", tags=resolved_tags(row.wanted.tags)))


def difference(row: Row) -> dict[str, Any]:
    """Return the body of the PATCH that makes Grafana show what is wanted; empty when it does."""
    body: dict[str, Any] = {}
    if row.sent.end != row.wanted.end:
        body["timeEnd"] = row.wanted.end
    if row.sent.text != digest(row.text):
        body["text"] = row.text
    if row.sent.tags != digest(*row.wanted.tags):
        body["tags"] = list(row.wanted.tags)  # omitted when unchanged: Grafana deletes and inserts all of them
    return body


def digest(*parts: str) -> str:
    """Return 16 hex digits; the order of tags is Grafana's to choose, so it does not count."""
    return hashlib.blake2s("\0".join(sorted(parts)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def milliseconds(nanoseconds: int) -> int:
    """Return ns as ms."""
    return nanoseconds // 1_000_000


def encode(row: Row) -> str:
    """Return a row as one line of JSON."""
    return json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":"))


def decode(line: str) -> Row:
    """Return the row of a line; ValueError when it is none."""
    data = _mapping(json.loads(line))
    wanted, sent = _mapping(data.get("wanted")), _mapping(data.get("sent"))
    if wanted.get("state") not in get_args(State) or data.get("fate") not in get_args(Fate):
        raise ValueError("no such state")
    return Row(
        Annotation(
            _take(wanted, "incident", str),
            _take(wanted, "time", int),
            _take(wanted, "end", int),
            wanted["state"],
            _take(wanted, "text", str),
            _take(wanted, "brief", str),
            tuple(_take({"tag": tag}, "tag", str) for tag in _take(wanted, "tags", list)),
        ),
        _take(data, "admitted", int),
        Sent(_take(sent, "id", int), _take(sent, "text", str), _take(sent, "tags", str), _take(sent, "end", int)),
        _take(data, "doubt", bool),
        _take(data, "again", bool),
        _take(data, "short", bool),
        data["fate"],
    )


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _take(data: dict[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if type(value) is not kind:
        raise ValueError(f"{name} is no {kind.__name__}")
    return value
