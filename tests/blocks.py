"""The code blocks of the README and the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_PAGE_APART = re.compile(r"^<!-- not run, the whole page: (.+) -->$", re.MULTILINE)
_APART = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """One block: where it begins, its language, its text, and why it is not run, empty when it is."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def is_apart(self) -> bool:
        """Whether it needs what a test has not."""
        return bool(self.reason)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page.

    One is set apart by a comment in the line before it, ``<!-- not run: why -->``; all are by ``<!-- not run, the whole page: why -->``.
    """
    found: list[Block] = []
    before, opened, lines = "", None, list[str]()
    text = page.read_text()
    whole = _PAGE_APART.search(text)
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.fullmatch(r"( *)```(\S*)", line)
        if fence and opened is None:
            apart = _APART.fullmatch(before.strip())
            opened = number, fence[2], apart[1] if apart else whole[1] if whole else "", len(fence[1])
            lines = []
        elif opened and fence:
            found.append(Block(page, opened[0], opened[1], "".join(f"{own[opened[3] :]}\n" for own in lines), opened[2]))
            opened = None
        elif opened:
            lines.append(line)
        before = line
    return found
