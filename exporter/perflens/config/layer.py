"""What one source says: the values that could be taken, and the problems of the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perflens.config.keys import Key, KeyPath
from perflens.config.values import parsed
from perflens.config.wording import Refused, quoted
from perflens.errors import Problem

__all__ = ["Layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source by path; a later source's values replace an earlier one's."""

    values: dict[KeyPath, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, source: str, key: str, message: str, cure: str) -> None:
        self.problems.append(Problem(source, key, message, cure))

    def take(self, key: Key, text: str, source: str) -> None:
        """Note what a key is set to here: an item more of a list, else the value."""
        try:
            value = parsed(key, text)
            self.values[key.path] = self.extended(key, value) if key.kind == "list" else value
        except Refused as refused:
            self.refuse(source, key.dotted, refused.message, refused.cure)

    def extended(self, key: Key, item: str) -> tuple[str, ...]:
        items: tuple[str, ...] = self.values.get(key.path, ())
        if item in items:
            raise Refused(f"{quoted(item)} is given twice", "leave one out")
        if key.limits and len(items) >= key.limits[1]:
            raise Refused(f"{quoted(item)} is one too many", f"give at most {key.limits[1]}")
        return (*items, item)
