"""The signal that a value cannot be taken; whoever knows its source makes a Problem of it."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):
    """What is wrong with one value, and what to write instead."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
