"""What Enter means: the process behind the row that is selected, and which of its operations."""

from __future__ import annotations

from typing import NamedTuple

from perflens.tui.asks import EVENTS, IN_PROGRESS, PROCESSES, STARTS, TREE, Data
from perflens.tui.model import ProcessKey, Start
from perflens.tui.state import State

__all__ = ["Choice", "chosen"]


class Choice(NamedTuple):
    """A process, its name, and the id of an operation, empty for the longest."""

    process: ProcessKey
    name: str
    event: str = ""


def chosen(data: Data, state: State) -> Choice | None:
    """Return what is selected in the view that is shown; None when that is no process."""
    key = state.cursor.key
    if state.view == "dashboard":
        return next((Choice(own.process, own.comm) for own in data.of(PROCESSES) or () if own.process == key), None)
    if state.view == "tree":
        tree = data.of(TREE)
        return next((Choice(own.process, own.comm) for own in (tree.processes if tree else ()) if own.process == key), None)
    if state.view == "timeline" and isinstance(key, Start):
        return Choice(key.process, key.comm) if key in (data.of(STARTS) or ()) else None
    ask = {"timeline": EVENTS, "stuck": IN_PROGRESS}.get(state.view)
    events = (data.of(ask) or ()) if ask else ()
    return next((Choice(own.process, own.process_name or own.comm, own.id) for own in events if own.id == key), None)
