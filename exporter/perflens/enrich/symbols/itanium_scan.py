"""Reading a mangled C++ name from left to right, within bounds: its letters, numbers, and what it refers back to."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Scanner", "Type", "simple"]

_DEEPEST = 100
_LONGEST = 4096

Type = tuple[str, str]
"""What stands before and what stands after a declared name: ``int (*`` and ``)(char)``."""


def simple(text: str) -> Type:
    """Return the type of one word."""
    return text, ""


class Scanner:
    """The text, the place in it, and the parts that were read so far."""

    def __init__(self, text: str, nesting: int) -> None:
        self.text, self.nesting = text, nesting
        self.place = self.depth = self.in_type = self.in_args = 0
        self.seen: list[Type] = []
        self.args: list[str] = []

    def peek(self, length: int = 1) -> str:
        """Return the next letters without taking them."""
        return self.text[self.place : self.place + length]

    def take(self, word: str) -> bool:
        """Take ``word`` if it comes next."""
        if self.text.startswith(word, self.place):
            self.place += len(word)
            return True
        return False

    def need(self, word: str) -> None:
        """Take ``word``, which must come next."""
        if not self.take(word):
            raise ValueError(f"expected {word}")

    def next(self, length: int = 1) -> str:
        """Take the next letters."""
        found = self.peek(length)
        if len(found) < length:
            raise ValueError("the name was cut")
        self.place += length
        return found

    def number(self) -> int:
        """Read a number of decimal digits."""
        begin = self.place
        while "0" <= self.peek() <= "9":
            self.place += 1
        if not 0 < self.place - begin < 9:
            raise ValueError("no number")
        return int(self.text[begin : self.place])

    def until(self, read: Callable[[], str], end: str = "E") -> list[str]:
        """Read parts until ``end`` was taken."""
        found: list[str] = []
        while not self.take(end):
            found.append(read())
        return found

    def sequence(self, digits: str) -> int:
        """Read ``_`` as 0, and a number and ``_`` as one more than that."""
        value = 0
        begin = self.place
        while not self.take("_"):
            value = value * len(digits) + digits.index(self.next())
        return value + 1 if self.place - begin > 1 else 0

    def remember(self, found: Type) -> Type:
        """Note a part that later ones may refer to."""
        if len(found[0]) + len(found[1]) > _LONGEST:
            raise ValueError("the name is too long")
        self.seen.append(found)
        return found

    def deeper(self, read: Callable[[], Type]) -> Type:
        """Read a part of the part that is being read."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError("the name is too deep")
        found = read()
        self.depth -= 1
        return found
