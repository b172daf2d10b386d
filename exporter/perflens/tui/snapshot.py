"""One view as plain text, without a terminal."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from perflens.tui import screen
from perflens.tui.asks import Ask, Data
from perflens.tui.lines import plain
from perflens.tui.page import Size
from perflens.tui.reading import Reader
from perflens.tui.source import Source
from perflens.tui.state import Cursor, State
from perflens.tui.views import VIEWS

__all__ = ["snapshot"]

_HEIGHT = 40


async def snapshot(source: Source, state: State, width: int) -> str:
    """Ask once and return every line of a view; Unavailable or Unreadable when an answer is missing."""
    view = VIEWS[state.view]
    asks = view.asks(state)
    try:
        answers = await asyncio.gather(*(_answer(source, ask) for ask in asks))
    finally:
        await source.close()
    data = Data(dict(zip(asks, answers, strict=True)), source.recorded or time.time())
    page = view.page(data, state, Size(width, _HEIGHT))
    top = screen.header(view, state, screen.Status(source.name, data.now, source.recorded), width)
    height = len(page.head) + len(page.titles) + max(len(page.keys), 1)
    lines = screen.body(page, Cursor(), width, height)
    return "\n".join(plain(own).rstrip() for own in (top, *lines))


async def _answer(source: Source, ask: Ask[Any]) -> Any:
    return ask.read(Reader(await source.get(ask.path, ask.query(None))))
