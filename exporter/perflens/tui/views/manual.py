"""The help: every key, from the table of keys."""

from __future__ import annotations

from typing import Any

from perflens.tui.asks import Ask, Data
from perflens.tui.keys import KEYS
from perflens.tui.lines import line
from perflens.tui.page import Page, Size, View, of_lines
from perflens.tui.state import State
from perflens.tui.text import wrap

__all__ = ["VIEW"]

_KEY = 10


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return ()


def page(_data: Data, _state: State, size: Size) -> Page:
    """Return the help."""
    lines = [line(("Keys", "bold")), line()]
    for key in KEYS:
        for more, text in enumerate(wrap(key.meaning, max(size.width - _KEY - 1, 8))):
            lines.append(line((f"{'' if more else key.written:<{_KEY}} ", "key"), text))
    about = "A slow operation is one that took its threshold or longer, 5 ms unless configured."
    lines += [line(), *(line(text) for text in wrap(about, max(size.width, 8)))]
    return of_lines(lines)


VIEW = View("help", "help", _asks, page)
