"""How a server is told the form of an answer: by a schema, by asking for JSON, or by the prompt alone; learnt from what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["RUNGS", "Ladder", "Rung"]

Rung = Literal["json_schema", "json_object", "none"]

RUNGS: tuple[Rung, ...] = ("json_schema", "json_object", "none")
_REMEMBERED = 86_400.0
_UNREADABLE = 2


@dataclass(frozen=True, slots=True)
class _Known:
    rung: int
    since: float
    unreadable: int = 0


class Ladder:
    """The rung of each (base_url, model), remembered for 24 hours; ``now`` is in seconds of any steady clock."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}

    def rung(self, base_url: str, model: str, now: float) -> Rung:
        """Return how to ask: by a schema where nothing is known."""
        return RUNGS[self._get(base_url, model, now).rung]

    def step_down(self, base_url: str, model: str, now: float) -> bool:
        """Note that a server refused the rung; False when there is no lower one."""
        rung = self._get(base_url, model, now).rung
        if rung == len(RUNGS) - 1:
            return False
        self._known[base_url, model] = _Known(rung + 1, now)
        return True

    def note(self, base_url: str, model: str, *, is_readable: bool, now: float) -> None:
        """Note whether a complete reply could be read; two in a row that could not step down."""
        known = self._get(base_url, model, now)
        unreadable = 0 if is_readable else known.unreadable + 1
        if unreadable < _UNREADABLE or not self.step_down(base_url, model, now):
            self._known[base_url, model] = _Known(known.rung, known.since, unreadable)

    def _get(self, base_url: str, model: str, now: float) -> _Known:
        known = self._known.get((base_url, model))
        return known if known and now - known.since < _REMEMBERED else _Known(0, now)
