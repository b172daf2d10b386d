"""The styles by name, in colours that the colour-blind can tell apart (after Okabe and Ito), and what is left of them without colour.

No colour tells anything that text or a mark does not tell too.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style

__all__ = ["styles"]

_SKY, _ORANGE, _VERMILLION, _GREEN, _PURPLE = "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7"
_HEAT = ("#3b528b", "#21918c", "#5ec962", "#fde725")

_COLOURED: Mapping[str, Style] = {
    "": Style(),
    "dim": Style(dim=True),
    "bold": Style(bold=True),
    "head": Style(bold=True, color=_SKY),
    "title": Style(bold=True, color="black", bgcolor=_SKY),
    "key": Style(bold=True, color=_SKY),
    "slow": Style(color=_ORANGE),
    "warn": Style(bold=True, color="black", bgcolor=_ORANGE),
    "bad": Style(bold=True, color=_VERMILLION),
    "good": Style(color=_GREEN),
    "note": Style(bold=True, color=_SKY),
    "cause": Style(bold=True, color=_PURPLE),
    "accent": Style(color=_GREEN),
    "bar": Style(color=_SKY),
    "fork": Style(color=_GREEN),
    "exec": Style(color=_PURPLE),
    "selected": Style(reverse=True),
    **{f"heat{level}": Style(color=colour) for level, colour in enumerate(_HEAT, 1)},
}


def styles(coloured: bool) -> Mapping[str, Style]:
    """Return the styles; without colour they are bold, dim and reversed alone."""
    if coloured:
        return _COLOURED
    return {name: own.without_color + Style(reverse=True) if own.bgcolor else own.without_color for name, own in _COLOURED.items()}
