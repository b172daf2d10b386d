"""The whole screen as lines: the header, a page, the hints. Values in, lines out; the app only draws them."""

from __future__ import annotations

from dataclasses import dataclass

from perflens.tui import units
from perflens.tui.keys import hints
from perflens.tui.lines import Line, Span, cells, cut, line, padded, restyled
from perflens.tui.page import Page, View
from perflens.tui.state import Cursor, State
from perflens.tui.text import fit_left, wrap

__all__ = ["Status", "body", "footer", "header", "move", "notice", "placed", "rows_room"]

_LEAST_ROWS = 3
_MOST_REASON = 2  # lines


@dataclass(frozen=True, slots=True)
class Status:
    """What the header tells beside the view: whose data it is, how old, and a note of what a key did."""

    source: str
    now: float
    recorded: float = 0.0
    stale: float = 0.0
    reason: str = ""
    note: str = ""


def header(view: View, state: State, status: Status, width: int) -> Line:
    """Return the first line; what is wrong stands before what is only good to know."""
    parts: list[Span] = [(" PerfLens ", "title"), (f" {view.title} ", "bold")]
    parts += _warnings(state, status)
    if view.orders != ("",):
        parts.append((f" by {state.order(view.orders)} ", "dim"))
    parts.append((f" {status.source} ", "dim"))
    right = "" if status.recorded else f" {units.clock(status.now)} "
    own = cut(tuple(parts), max(width - len(right), 0))
    return padded((*own, (" " * (width - len(right) - cells(own)), ""), (right, "dim")), width)


def _warnings(state: State, status: Status) -> list[Span]:
    found: list[Span] = []
    if status.recorded:
        found.append((f" recorded at {units.clock(status.recorded)} " if status.recorded > 1 else " recorded ", "warn"))
    if state.paused:
        found.append((" PAUSED ", "warn"))
    elif status.stale:
        found.append((f" stale for {int(status.stale)} s ", "bad"))
    if status.note:
        found.append((f" {status.note} ", "note"))
    if state.filter and not state.typing:
        found.append((f" filter: {state.filter} ", "note"))
    return found


def notice(status: Status, width: int) -> list[Line]:
    """Return why there is nothing newer, below the header; nothing when there is."""
    return [line((f" {text}", "bad")) for text in wrap(status.reason, width - 2, _MOST_REASON)] if status.stale else []


def footer(state: State, width: int) -> Line:
    """Return the last line: as many hints as fit, those first without which nobody finds the others."""
    if state.typing:
        return padded(line((" / ", "key"), fit_left(state.filter, min(cells(line(state.filter)), max(width - 4, 0))), ("▏", "note")), width)
    first = [own for own in hints() if own[1] in ("help", "back")]
    shown: list[Span] = []
    for key, word in first + [own for own in hints() if own not in first]:
        wanted: list[Span] = [(f" {key}", "key"), (f" {word} ", "dim")]
        if cells((*shown, *wanted)) > width:
            break
        shown += wanted
    return padded(tuple(shown), width)


def placed(page: Page, cursor: Cursor, room: int) -> None:
    """Have the cursor stand on a row that is there, the one it stood on before if it still is, and be seen in ``room`` rows."""
    last = len(page.keys) - 1
    if not page.selectable:
        cursor.first = cursor.index = max(min(cursor.first, len(page.keys) - room), 0)
        return
    if not page.keys:
        cursor.index = cursor.first = 0
        return
    if cursor.key is not None and (cursor.index > last or page.keys[cursor.index] != cursor.key):
        cursor.index = page.keys.index(cursor.key) if cursor.key in page.keys else cursor.index
    cursor.index = min(cursor.index, last)
    cursor.key = page.keys[cursor.index]
    cursor.first = max(min(cursor.first, cursor.index, len(page.keys) - room), cursor.index - room + 1, 0)


def move(page: Page, cursor: Cursor, by: int) -> None:
    """Move the cursor, or scroll where nothing is selected."""
    if not page.selectable:
        cursor.first += by
        return
    cursor.index = max(min(cursor.index + by, len(page.keys) - 1), 0)
    cursor.key = page.keys[cursor.index] if page.keys else None


def rows_room(page: Page, height: int) -> int:
    """Return how many rows of a page are seen."""
    return max(height - len(_top(page, height)) - len(page.titles), 1)


def body(page: Page, cursor: Cursor, width: int, height: int) -> list[Line]:
    """Return exactly ``height`` lines of a page; at a small height its head is cut so that some rows are seen."""
    room = rows_room(page, height)
    placed(page, cursor, room)
    lines = [padded(own, width) for own in (*_top(page, height), *page.titles)]
    for at in range(cursor.first, min(cursor.first + room, len(page.keys))):
        lines.append(_row(page, at, cursor, width))
    if not page.keys and page.empty:
        lines.append(padded(line((page.empty, "dim")), width))
    lines += [padded((), width)] * (height - len(lines))
    return lines[:height]


def _row(page: Page, at: int, cursor: Cursor, width: int) -> Line:
    own = page.row(at)
    if not (page.selectable and at == cursor.index):
        return padded(own, width)
    return restyled(padded(own, width), "selected")


def _top(page: Page, height: int) -> tuple[Line, ...]:
    wanted = min(len(page.keys), _LEAST_ROWS) or bool(page.empty)
    return page.head[: max(height - len(page.titles) - wanted, 0)]
