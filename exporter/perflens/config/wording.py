"""What is wrong with one value, how a problem quotes what the user wrote, and what it proposes instead."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Refused", "either", "one_line", "printable", "quoted", "suggestion"]

LONGEST_QUOTE = 60


class Refused(Exception):
    """A value that cannot be taken, and what to write instead; whoever knows its source makes a Problem of it."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


def quoted(text: str) -> str:
    """The text in quotes, on one line, shortened, without anything that a terminal would obey, or a secret of a URL."""
    text = _without_secrets(text)
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…")


def _without_secrets(text: str) -> str:
    """A URL without its user, password and query, also if its scheme was forgotten."""
    user, at, host = text.rpartition("@")
    scheme, mark, _ = text.partition("://")
    if at and mark:
        text = f"{scheme}://…@{host}"
    elif at and ":" in user and "/" not in user.partition(":")[0]:
        text = f"…@{host}"
    address, query, _ = text.partition("?")
    return f"{address}?…" if mark and query else text


def printable(name: str) -> str:
    """A name as it is if it can be printed, else in quotes and escaped."""
    return name if name and name.isprintable() and len(name) <= 4096 else quoted(name)


def one_line(text: str) -> str:
    """A foreign message on one line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def either(names: Iterable[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def suggestion(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The cure for a name that does not exist: the nearest one that does, else ``otherwise``."""
    from difflib import get_close_matches  # for those who mistype alone

    names = {name.lower(): name for name in known}
    near = get_close_matches(wrong[:256].lower(), names, n=1)
    return f"did you mean {names[near[0]]}?" if near else otherwise
