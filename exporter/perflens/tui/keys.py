"""The one table of keys: bindings, the help and docs/top.md are made of it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KEYS", "Key", "hints"]


class Key(NamedTuple):
    """Keys, as Textual names them, what they do (an action of the app), how they are written, and what they mean.

    ``hint`` is what the last line of the screen calls it; empty for none.
    """

    names: tuple[str, ...]
    action: str
    written: str
    meaning: str
    hint: str = ""


KEYS = (
    Key(("d",), "show('dashboard')", "d", "the dashboard: totals, the slowest processes, the latest analysis", "dashboard"),
    Key(
        ("t",), "show('timeline')", "t", "the timeline: a bar for each second, and the newest slow operations, forks and execs", "timeline"
    ),
    Key(("p",), "show('tree')", "p", "the tree of processes with their slow operations", "processes"),
    Key(("s", "enter"), "stacks", "s Enter", "the stacks and waits of what is selected; in the analyses its evidence", "stacks"),
    Key(("a",), "show('analyses')", "a", "the history of incidents and analyses", "analyses"),
    Key(("h",), "show('heatmap')", "h", "the heat map of latencies: time to the right, duration upwards", "heat map"),
    Key(("n",), "show('stuck')", "n", "what is stuck now: operations that have not ended", "stuck now"),
    Key(("up", "k"), "move(-1)", "↑ k", "select the one above, or scroll up"),
    Key(("down", "j"), "move(1)", "↓ j", "select the one below, or scroll down"),
    Key(("pageup",), "page(-1)", "PgUp", "go a page up"),
    Key(("pagedown",), "page(1)", "PgDn", "go a page down"),
    Key(("home", "g"), "edge(0)", "Home g", "go to the first"),
    Key(("end", "G"), "edge(1)", "End G", "go to the last"),
    Key(("left",), "turn(-1)", "←", "in the stacks: the operation before"),
    Key(("right",), "turn(1)", "→", "in the stacks: the next operation"),
    Key(
        ("slash",),
        "filter",
        "/",
        "show only what has these words in its name, PID, owner, operation or file; Enter keeps it, Esc ends it",
        "filter",
    ),
    Key(("space",), "pause", "Space", "stop asking and keep what is shown; again to go on", "pause"),
    Key(("o",), "sort", "o", "sort by the next column", "sort"),
    Key(("plus", "equals_sign"), "zoom(-1)", "+", "a shorter window in the timeline and the heat map: 2 min, 1 min, 30 s"),
    Key(("minus",), "zoom(1)", "-", "a longer window, up to 5 min"),
    Key(("y",), "copy", "y", "copy what is selected, or the whole view, to the clipboard of your terminal (OSC 52)"),
    Key(("question_mark",), "show('help')", "?", "this help", "help"),
    Key(("escape",), "clear", "Esc", "end the filter; else back"),
    Key(("q",), "leave", "q", "back; on the dashboard quit", "back"),
    Key(("Q", "ctrl+c"), "quit", "Q Ctrl-C", "quit"),
)


def hints() -> tuple[tuple[str, str], ...]:
    """Return (key, word) of what the last line shows."""
    return tuple((key.written.split()[0], key.hint) for key in KEYS if key.hint)
