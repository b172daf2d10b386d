"""What a failure means for the row that it was met with."""

from __future__ import annotations

from dataclasses import replace

from perflens.annotate.answers import Failure
from perflens.annotate.rows import Fate, Row

__all__ = ["row_after"]


def row_after(row: Row, failure: Failure) -> tuple[Row, bool]:
    """Return the row as it is to be kept, and whether something is lost by that."""
    if failure.reason == "detached":
        return replace(row, fate="detached"), True  # somebody, or Grafana's retention, has deleted it on purpose
    if failure.reason == "too_large":
        return (_given_up(row, "too_large"), True) if row.short else (replace(row, short=True, doubt=False), False)
    if failure.reason == "refused":
        return _given_up(row, "refused"), True
    return row, False


def _given_up(row: Row, fate: Fate) -> Row:
    """A row that was refused is not made; of one that is there, what was refused is not sent again, and its next state is."""
    return row.delivered(row.sent.id) if row.sent.id else replace(row, fate=fate, doubt=False)
