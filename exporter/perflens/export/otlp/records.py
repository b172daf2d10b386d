"""An incident as the parts of a log record: when, how severe, its summary, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from perflens.analysis import Hypothesis, Incident
from perflens.export.otlp.text import cleaned

__all__ = ["Record", "record_of"]

_LONGEST_SUMMARY = 4_096
_LONGEST_NAME = 256
_SEVERITIES = {"info": 9, "warning": 13, "critical": 17}
"""Numbers of the log data model: INFO, WARN, ERROR."""

Attributes = dict[str, str | int | float | bool]


class Record(NamedTuple):
    """A log record without its envelope; ``time`` in ns since the epoch."""

    event_name: str
    time: int
    severity: int
    severity_text: str
    body: str
    attributes: Attributes


def record_of(change: str, incident: Incident) -> Record:
    """Return the record of a change; what is over is for information."""
    severity = "info" if change == "resolved" else incident.severity
    moments = {"opened": incident.opened, "resolved": incident.resolved}
    return Record(
        f"perflens.incident.{change}",
        moments.get(change) or incident.updated,
        _SEVERITIES[severity],
        {"info": "INFO", "warning": "WARN", "critical": "ERROR"}[severity],
        cleaned(incident.summary, _LONGEST_SUMMARY),
        _attributes(incident),
    )


def _attributes(own: Incident) -> Attributes:
    first = own.causes[0] if own.causes else None
    found: Mapping[str, str | int | float | bool | None] = {
        "perflens.incident.id": own.id,
        "perflens.incident.state": own.state,
        "perflens.incident.severity": own.severity,
        "perflens.incident.cause": own.cause,
        "perflens.incident.subject.kind": own.subject.kind,
        "perflens.incident.subject.name": cleaned(own.subject.name, _LONGEST_NAME) or None,
        "perflens.incident.opened": _moment(own.opened),
        "perflens.incident.resolved": _moment(own.resolved) if own.resolved else None,
        "perflens.incident.reopened": own.reopened or None,
        "perflens.incident.previous_cause": own.history[-1][1] if own.history else None,
        "perflens.incident.source": own.source,
        "perflens.incident.model": cleaned(own.model, _LONGEST_NAME) or None,
        "perflens.incident.slow_operations": own.bundle.impact.operations,
        "perflens.incident.slow_seconds": own.bundle.impact.seconds,
        "system.device": cleaned(own.subject.name, _LONGEST_NAME) if own.subject.kind == "device" else None,
        **(_of_cause(first) if first else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_cause(first: Hypothesis) -> Mapping[str, str | float | None]:
    return {
        "perflens.incident.confidence": first.confidence,
        "perflens.incident.score": first.score,
        "perflens.incident.culprit": cleaned(first.culprit.name, _LONGEST_NAME) or None if first.culprit else None,
    }


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
