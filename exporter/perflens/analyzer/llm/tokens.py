"""How many tokens a text may be, before any server has counted them."""

from __future__ import annotations

__all__ = ["Estimator"]

_BYTES_A_TOKEN = 3.3
_TOKENS_A_LINE = 8
_WEIGHT = 0.2
_LEAST, _MOST = 0.5, 2.0


class Estimator:
    """Tokens of text by its bytes and lines, corrected by what servers reported of former requests."""

    def __init__(self) -> None:
        self._factor = 1.0

    @property
    def factor(self) -> float:
        """How many times the plain estimate is what servers count, 0.5 to 2."""
        return self._factor

    def tokens(self, text: str) -> int:
        """Return the estimate of a text, each of whose lines costs some more."""
        return round(_plain(text) * self._factor)

    def correct(self, text: str, reported: int) -> None:
        """Note what a server counted of a text; one odd answer moves the estimate by a fifth at most."""
        if reported > 0 and text:
            seen = min(_MOST, max(_LEAST, reported / _plain(text)))
            self._factor += _WEIGHT * (seen - self._factor)


def _plain(text: str) -> float:
    return len(text.encode()) / _BYTES_A_TOKEN + _TOKENS_A_LINE * (text.count("\n") + 1)
