"""Every key of `perflens top` in every view, in a real terminal before a real agent, and every view at every size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from perflens.tui.keys import KEYS, Key
from perflens.tui.views import VIEWS
from tests.kernel.support import PATIENCE
from tests.kernel.test_top import Host, slow_host, top
from tests.terminal import Terminal

WORDS: Mapping[str, str] = {
    "dashboard": "Slowest processes",
    "timeline": "Slow operations of the last ",
    "tree": "with their slow operations",
    "stacks": "PID ",
    "analyses": "Enter shows the evidence",
    "evidence": "confidence, score",
    "heatmap": "Latency of slow operations",
    "stuck": "Operations that have not ended",
    "help": "the dashboard: totals",
}
"""What each view always has, once there is an incident."""

WAYS: Mapping[str, tuple[str, ...]] = {
    "dashboard": (),
    "timeline": ("t",),
    "tree": ("p",),
    "stacks": ("Home", "Enter"),
    "analyses": ("a",),
    "evidence": ("a", "Home", "Enter"),
    "heatmap": ("h",),
    "stuck": ("n",),
    "help": ("?",),
}
"""The keys that lead there from the dashboard."""

TMUX: Mapping[str, str] = {
    "question_mark": "?",
    "slash": "/",
    "space": "Space",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "pageup": "PPage",
    "pagedown": "NPage",
    "ctrl+c": "C-c",
}
LISTS = ("dashboard", "timeline", "tree", "stuck")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with slow_host(tmp_path_factory.mktemp("keys")) as found:
        yield found


def pressed(name: str) -> str:
    """A key as tmux calls it."""
    return TMUX.get(name) or (name.capitalize() if len(name) > 1 else name)


def is_shown(view: str, text: str) -> bool:
    return text.startswith(f" PerfLens  {VIEWS[view].title} ") and WORDS[view] in text


def reach(own: Terminal, view: str) -> None:
    """Go there from wherever it is."""
    own.press("d")
    own.until(lambda text: is_shown("dashboard", text))
    if view in ("analyses", "evidence"):
        own.press("a")
        own.shows("IO_CGROUP_THROTTLE", seconds=60 * PATIENCE)
        own.press("d")
    own.press(*WAYS[view])
    own.until(lambda text: is_shown(view, text))


def then(view: str, key: Key) -> tuple[str, ...]:
    """The views of which one is shown after a key."""
    action = key.action
    if action.startswith("show("):
        return (action.split("'")[1],)
    if action in ("leave", "clear"):
        return ("analyses",) if view == "evidence" else ("dashboard",)
    if action == "stacks" and view == "analyses":
        return ("evidence",)
    return (view, "stacks") if action == "stacks" and view in LISTS else (view,)  # nothing may be stuck now


def answered(own: Terminal, view: str, name: str, action: str) -> None:
    """What is seen of a key beside the view, and back to how it was."""
    if action == "filter":
        own.press("z", "q")  # letters now, not keys
        own.shows(" / zq")
        own.press("Escape")
        own.until(lambda text: " / zq" not in text and is_shown(view, text))
    elif action == "pause":
        own.shows("PAUSED")
        own.press(pressed(name))
        own.until(lambda text: "PAUSED" not in text)
    elif action == "copy":
        own.shows("copied ")
    elif action == "sort" and len(VIEWS[view].orders) > 1:
        own.shows(f"by {VIEWS[view].orders[1]}")
    elif action.startswith("zoom") and view in ("timeline", "heatmap"):
        own.shows("of the last 30 s" if action == "zoom(-1)" else "of the last 1 min")


@pytest.mark.parametrize("view", WORDS)
def test_every_key(host: Host, view: str) -> None:
    """Each leads to its view, or does what it says and stays in this one; none ends it, or hides what it shows."""
    assert WORDS.keys() == WAYS.keys() == VIEWS.keys()
    with top(host) as own:
        for key in KEYS:
            for name in key.names if key.action != "quit" else ():
                reach(own, view)
                own.press(pressed(name))
                own.until(lambda text, key=key: any(is_shown(one, text) for one in then(view, key)))  # type: ignore[misc]
                answered(own, view, name, key.action)


@pytest.mark.parametrize("key", ["Q", "C-c"])
@pytest.mark.parametrize("view", ["dashboard", "stacks", "help"])
def test_quitting(host: Host, view: str, key: str) -> None:
    """From anywhere, the terminal is as it was."""
    with top(host) as own:
        reach(own, view)
        own.press(key)
        assert own.code() == 0


def test_quitting_while_the_filter_is_written(host: Host) -> None:
    """Q is a letter then, and Ctrl-C ends it."""
    with top(host) as own:
        own.press("/", "Q")
        own.shows(" / Q")
        own.press("C-c")
        assert own.code() == 0


def selected(own: Terminal) -> int:
    """The line below the header that is reversed, -1 for none."""
    lines = own.coloured.split("\n")
    return next((at for at, text in enumerate(lines) if at and re.search(r"\x1b\[[0-9;]*7m", text)), -1)


@pytest.mark.parametrize(("there", "back"), [("Down", "Up"), ("j", "k"), ("NPage", "PPage"), ("End", "Home"), ("G", "g")])
def test_selecting(host: Host, there: str, back: str) -> None:
    """In a list the selection moves down and up again; where nothing is selected the text scrolls."""
    with top(host, size=(100, 12), NO_COLOR="1") as own:
        reach(own, "tree")
        own.press("o", "o", "Space", "Home")
        own.shows("PAUSED", "by name")
        own.until(lambda _: selected(own) > 1)
        first = selected(own)
        own.press(there)
        own.until(lambda _: selected(own) > first)
        own.press(back)
        own.until(lambda _: selected(own) == first)

        reach(own, "help")
        begin = own.lines[1:-2]
        own.press(there)
        own.until(lambda text: text.split("\n")[1:-2] != begin)
        own.press(back)
        own.until(lambda text: text.split("\n")[1:-2] == begin)


@pytest.mark.parametrize("size", [(40, 10), (300, 80), (80, 24)])
def test_every_view_at_every_size(host: Host, size: tuple[int, int]) -> None:
    """Resized in any view, the header stands in the first line, the keys in the last, and no line is longer than the terminal."""
    with top(host, size=(100, 30)) as own:
        for view in WORDS:
            own.resize(100, 30)
            reach(own, view)
            own.resize(*size)
            title = f" PerfLens  {VIEWS[view].title} "
            text = own.until(lambda text, title=title: text.startswith(title) and " ? help" in text.split("\n")[size[1] - 1])  # type: ignore[misc]
            lines = text.split("\n")[: size[1]]

            assert max(map(len, lines)) <= size[0]
            assert sum(bool(line.strip()) for line in lines[1:-1]) >= 1, view
