"""Reads JSON that others sent: every value is of the type that is asked for, and every text is safe to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from perflens.tui.text import clean

__all__ = ["Reader", "Unreadable"]

T = TypeVar("T")
_NOTHING: dict[str, Any] = {}
_LARGEST = 1 << 64


class Unreadable(ValueError):
    """The answer is not what the API gives."""


class Reader:
    """One object of an answer. What is missing is empty, so that an older or newer agent can be shown; another type is Unreadable."""

    __slots__ = ("_own",)

    def __init__(self, own: Any) -> None:
        if not isinstance(own, dict):
            raise Unreadable(f"an object was expected, not {type(own).__name__}")
        self._own: Mapping[str, Any] = own

    def text(self, name: str, longest: int = 512) -> str:
        own = self._own.get(name)
        if own is None:
            return ""
        if not isinstance(own, str):
            raise Unreadable(f"{name} is no text")
        return clean(own, longest)

    def integer(self, name: str) -> int:
        own = self._own.get(name)
        if own is None:
            return 0
        if not isinstance(own, int) or not -_LARGEST < own < _LARGEST:
            raise Unreadable(f"{name} is no whole number")
        return int(own)

    def number(self, name: str) -> float:
        own = self._own.get(name)
        if own is None:
            return 0.0
        if not isinstance(own, int | float) or not -_LARGEST < own < _LARGEST:
            raise Unreadable(f"{name} is no number")
        return float(own)

    def boolean(self, name: str) -> bool:
        return self._own.get(name) is True

    def has(self, name: str) -> bool:
        return self._own.get(name) is not None

    def object(self, name: str) -> Reader:
        return Reader(self._own.get(name) or _NOTHING)

    def each(self, name: str, make: Callable[[Reader], T]) -> tuple[T, ...]:
        return tuple(make(Reader(own)) for own in self._items(name))

    def texts(self, name: str) -> tuple[str, ...]:
        own = self._items(name)
        if not all(isinstance(text, str) for text in own):
            raise Unreadable(f"{name} is no list of texts")
        return tuple(map(clean, own))

    def integers(self, name: str) -> tuple[tuple[str, int], ...]:
        """The whole numbers of an object, by name."""
        own = self.object(name)
        return tuple((clean(key, 64), own.integer(key)) for key in own._own)

    def _items(self, name: str) -> list[Any]:
        own = self._own.get(name)
        if own is None:
            return []
        if not isinstance(own, list):
            raise Unreadable(f"{name} is no list")
        return own
