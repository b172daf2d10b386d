"""What the user has chosen: the view, what is selected in it, the filter, the order, the window."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from perflens.tui.model import ProcessKey
from perflens.tui.text import clean

__all__ = ["NOBODY", "WINDOWS", "Cursor", "State"]

_LONGEST_FILTER = 128
NOBODY = ProcessKey(0, 0)
WINDOWS = (30, 60, 120, 300)


@dataclass(slots=True)
class Cursor:
    """What is selected in a view, which row that was, and the first row that is shown."""

    key: Hashable = None
    index: int = 0
    first: int = 0


@dataclass(slots=True)
class State:
    """All that the keys change."""

    view: str = "dashboard"
    before: list[str] = field(default_factory=list)
    filter: str = ""
    typing: bool = False
    paused: bool = False
    window: int = 60
    orders: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    process: ProcessKey = NOBODY
    process_name: str = ""
    event: str = ""
    diagnosis: str = ""

    @property
    def cursor(self) -> Cursor:
        """The one of the view that is shown."""
        return self.cursors.setdefault(self.view, Cursor())

    def type(self, text: str) -> None:
        """Add to the filter what was written."""
        self.filter = clean(self.filter + text, _LONGEST_FILTER)

    def edit(self, key: str, character: str) -> None:
        """Change the filter by a key: Enter keeps it, Esc ends it."""
        if key in ("enter", "escape"):
            self.typing = False
            self.filter = self.filter.strip() if key == "enter" else ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif key == "ctrl+u":
            self.filter = ""
        elif character.isprintable():
            self.type(character)

    def order(self, names: tuple[str, ...]) -> str:
        """Return by what the view is sorted, of these."""
        return names[self.orders.get(self.view, 0) % len(names)]

    def matches(self, *texts: str) -> bool:
        """Whether every word of the filter is in one of the texts."""
        if not self.filter:
            return True
        hay = "\n".join(texts).lower()
        return all(word in hay for word in self.filter.lower().split())
