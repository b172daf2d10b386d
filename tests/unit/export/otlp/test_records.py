"""export/otlp/records.py: an incident as a log record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import Subject
from perflens.export.otlp.records import record_of
from tests.unit.annotate.incidents import BEGIN, hypothesis, incident

NS = 10**9


def test_opened() -> None:
    """Who, what and why, with the summary as its body."""
    culprit = replace(hypothesis(), culprit=Subject("owner", "backup.service"))
    record = record_of("opened", incident(causes=(culprit,)))

    assert record[:5] == ("perflens.incident.opened", BEGIN * NS, 13, "WARN", "reads of sda wait for the backup")
    assert record.attributes == {
        "perflens.incident.id": "0badcafe",
        "perflens.incident.state": "open",
        "perflens.incident.severity": "warning",
        "perflens.incident.cause": "NOISY_NEIGHBOUR_IO",
        "perflens.incident.subject.kind": "device",
        "perflens.incident.subject.name": "sda",
        "perflens.incident.opened": "2023-11-14T22:13:20.000Z",
        "perflens.incident.source": "rules",
        "perflens.incident.slow_operations": 412,
        "perflens.incident.slow_seconds": 38.24,
        "system.device": "sda",
        "perflens.incident.confidence": "high",
        "perflens.incident.score": 0.86,
        "perflens.incident.culprit": "backup.service",
    }


def test_later() -> None:
    """What it was before, how severe it is now, and when it was over."""
    updated = record_of("updated", incident(severity="critical", history=((BEGIN * NS, "CPU_QUEUE"),), reopened=2))
    assert (updated.time, updated.severity, updated.severity_text) == ((BEGIN + 30) * NS, 17, "ERROR")
    assert updated.attributes["perflens.incident.previous_cause"] == "CPU_QUEUE"
    assert updated.attributes["perflens.incident.reopened"] == 2

    resolved = record_of("resolved", incident(resolved=90.0, severity="critical"))
    assert (resolved.time, resolved.severity, resolved.severity_text) == ((BEGIN + 90) * NS, 9, "INFO")
    assert resolved.attributes["perflens.incident.resolved"] == "2023-11-14T22:14:50.000Z"
    assert resolved.attributes["perflens.incident.severity"] == "critical"


@pytest.mark.parametrize("name", ["a\x1b[31m\n", "x" * 5_000, "\udcff"])
def test_names_of_others(name: str) -> None:
    """What others chose is printable and bounded."""
    own = replace(hypothesis(), subject=Subject("owner", name), culprit=Subject("process", name))
    record = record_of("opened", incident(causes=(own,), summary=f"{name} is slow", model=name))
    told = [record.body, *(value for value in record.attributes.values() if isinstance(value, str))]

    assert all(text.isprintable() and len(text) <= 4_096 for text in told)
    assert all(len(text) <= 256 for text in told[1:])
    assert "system.device" not in record.attributes


def test_without_a_cause() -> None:
    """An incident that nothing explains says so."""
    record = record_of("opened", incident(causes=()))

    assert record.attributes["perflens.incident.cause"] == "UNEXPLAINED"
    assert record.attributes["perflens.incident.subject.kind"] == "host"
    assert "perflens.incident.confidence" not in record.attributes
