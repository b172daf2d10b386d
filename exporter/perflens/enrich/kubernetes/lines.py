"""Lines of a stream that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LineTooLong", "Lines"]


class LineTooLong(ValueError):
    """A line is longer than any object can be."""


class Lines:
    """Puts pieces together; a line may have ``longest`` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest, self._begun = longest, bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that end in this piece, without their end; LineTooLong when one does not in time."""
        first, *others = piece.split(b"\n")
        self._begun += first
        for other in others:
            self._check()
            if self._begun:
                yield bytes(self._begun)
            self._begun = bytearray(other)
        self._check()

    def _check(self) -> None:
        if len(self._begun) > self._longest:
            raise LineTooLong
