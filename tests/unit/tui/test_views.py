"""tui/views: pages are made of any values, however strange the numbers are that an agent sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from perflens.tui import screen
from perflens.tui.asks import Ask, Data
from perflens.tui.lines import plain
from perflens.tui.model import ProcessKey
from perflens.tui.page import Size
from perflens.tui.reading import Reader
from perflens.tui.state import State
from perflens.tui.text import width
from perflens.tui.views import VIEWS
from tests.unit.tui.answers import NOW, example

STRANGE = (-1, 0, 1, 2**31, 2**63, 2**64 - 1, -(2**64) + 1)


def with_numbers(own: Any, number: int) -> Any:
    """The same answer, with this in place of every number."""
    if isinstance(own, dict):
        return {name: with_numbers(value, number) for name, value in own.items()}
    if isinstance(own, list):
        return [with_numbers(value, number) for value in own]
    return number if isinstance(own, int | float) and not isinstance(own, bool) else own


def answers_of(asks: tuple[Ask[Any], ...], parts: Mapping[str, Any]) -> Data:
    return Data({ask: ask.read(Reader(parts[ask.path])) for ask in asks}, float(NOW))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("number", STRANGE)
@pytest.mark.parametrize("size", [(80, 24), (1, 1), (300, 80)])
def test_numbers_of_any_size(view: str, number: int, size: tuple[int, int]) -> None:
    """Negative times, processes without a number and durations of centuries are drawn, each line within the screen."""
    state = State(view=view, process=ProcessKey(number, number), diagnosis="0a1b2c3d")
    own = VIEWS[view]
    data = answers_of(own.asks(state), with_numbers(example(), number))
    for order in range(len(own.orders)):
        state.orders[view] = order
        lines = screen.body(own.page(data, state, Size(*size)), state.cursor, *size)

        assert [width(plain(line)) for line in lines] == [size[0]] * size[1]


def test_moving_within_a_page() -> None:
    """The selection stays on its row, moves by rows and pages within the list, and is always seen."""
    state = State(view="tree")
    parts = example()
    parts["process-tree"]["processes"] = [
        {**parts["process-tree"]["processes"][1], "process": {"pid": pid, "start_ns": pid}} for pid in range(1, 51)
    ]
    page = VIEWS["tree"].page(answers_of(VIEWS["tree"].asks(state), parts), state, Size(80, 12))
    seen = []
    for by in (0, 1, 9, 30, 100, -3, -100):
        screen.move(page, state.cursor, by)
        screen.body(page, state.cursor, 80, 12)
        cursor = state.cursor
        seen.append((cursor.key, cursor.first))

    assert screen.rows_room(page, 12) == 10
    assert [(key.pid if isinstance(key, ProcessKey) else key, first) for key, first in seen] == [
        (1, 0),
        (2, 0),
        (11, 1),
        (41, 31),
        (50, 40),
        (47, 40),
        (1, 0),
    ]
