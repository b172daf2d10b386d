"""Comma separated values that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
from typing import Any, TextIO

from perflens.reports.text import printable

__all__ = ["Sheet"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Sheet:
    """Writes rows to a stream, as RFC 4180 says but for the ends of lines."""

    def __init__(self, stream: TextIO) -> None:
        self._writer: Any = csv.writer(stream, lineterminator="\n")

    def write(self, row: tuple[object, ...]) -> None:
        """Write one row; a text that would be a formula gets a ``'`` before it, and control characters are escaped."""
        self._writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value.startswith(_FORMULA) else printable(value)
