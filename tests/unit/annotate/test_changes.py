"""annotate/changes.py: what is new of an incident."""

from __future__ import annotations

from perflens.annotate.changes import Changes
from tests.unit.annotate.incidents import hypothesis, incident

OPEN, CRITICAL = incident(), incident(severity="critical")
OTHER = incident(causes=(hypothesis(code="IO_CGROUP_THROTTLE"),))
RESOLVED = incident(resolved=90.0)


def test_a_life() -> None:
    """It opens once, is updated with its cause or severity, and is resolved once; in between nothing is new."""
    changes = Changes()
    steps = (OPEN, OPEN, incident(updated=60.0, summary="in other words"), OTHER, OTHER, CRITICAL, RESOLVED, RESOLVED)

    assert [changes.of(own) for own in steps] == ["opened", "", "", "updated", "", "updated", "resolved", ""]
    assert [changes.of(own) for own in (OPEN, OPEN, RESOLVED)] == ["opened", "", "resolved"]


def test_several() -> None:
    """Each incident has a life of its own; one that was over before it was told is resolved."""
    changes = Changes()

    assert [changes.of(own) for own in (OPEN, incident("11111111"), incident("22222222", resolved=9.0))] == ["opened", "opened", "resolved"]


def test_known() -> None:
    """Over a restart nothing is told twice, and what happened meanwhile is."""
    assert Changes([OPEN, RESOLVED]).of(RESOLVED) == ""
    assert Changes([OPEN]).of(OPEN) == ""
    assert Changes([OPEN]).of(RESOLVED) == "resolved"
    assert Changes([OPEN]).of(OTHER) == "updated"


def test_few_are_kept() -> None:
    """Of very many the last are remembered."""
    changes = Changes(incident(f"{number:08x}") for number in range(501))

    assert changes.of(incident("00000001")) == ""
    assert changes.of(incident("00000000")) == "opened"
