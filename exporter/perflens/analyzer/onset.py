"""When it began: the first second from which on more was slow than usual."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

__all__ = ["onset"]

_SPREADS, _LEAST = 5.0, 0.02
_STAYS, _OF = 3, 5


def onset(seconds: Sequence[float], usual: Sequence[float]) -> int | None:
    """Return the index in ``seconds`` (slow seconds, one value a second) of the onset; None where nothing began.

    It is the first second above the median and five times the quartiles' distance of what is ``usual``, in which, with the next
    four, at least three are: what has gone away at once was none.
    """
    limit = max(median(usual) + _SPREADS * _spread(usual), _LEAST) if usual else _LEAST
    above = [own > limit for own in seconds]
    for index, own in enumerate(above):
        if own and sum(above[index : index + _OF]) >= min(_STAYS, len(above) - index):
            return index
    return None


def _spread(usual: Sequence[float]) -> float:
    if len(usual) < 2:
        return 0.0
    first, _, third = quantiles(usual, n=4)
    return third - first
