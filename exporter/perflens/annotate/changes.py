"""What happened to an incident since it was told last: it opened, its cause or severity changed, it was resolved, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from perflens.analysis import Incident

__all__ = ["Changes"]

_KEPT = 500


class Changes:
    """Remembers the last incidents that were told; ``known`` are those of before, of which nothing is to be told again."""

    def __init__(self, known: Iterable[Incident] = ()) -> None:
        self._told: dict[str, tuple[str, str, str]] = {}
        for own in known:
            self._note(own)

    def of(self, incident: Incident) -> Literal["opened", "updated", "resolved", ""]:
        """Return what happened, empty for nothing new, and remember it. One that opens again has opened."""
        before = self._told.get(incident.id)
        if before == self._note(incident):
            return ""
        if incident.state == "resolved":
            return "resolved" if before is None or before[0] == "open" else ""
        return "updated" if before and before[0] == "open" else "opened"

    def _note(self, own: Incident) -> tuple[str, str, str]:
        self._told.pop(own.id, None)
        self._told[own.id] = now = (own.state, own.cause, own.severity)
        if len(self._told) > _KEPT:
            del self._told[next(iter(self._told))]
        return now
