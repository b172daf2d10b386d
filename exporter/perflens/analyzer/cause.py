"""What a cause declares: when it holds, what it explains, what it is the cause of, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perflens.analyzer.conditions import Term

__all__ = ["Cause", "Scope"]

Scope = Literal["device", "owner", "host"]
"""What it may be about: each disk with slow operations, each owner that has some, or the host once."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. Its score is the least of what is ``necessary`` x 0.7 to 1 by what is ``supporting`` x how much it explains.

    Any ``vetoes`` that holds takes it away by as much. ``explains`` names the wait reasons (`runqueue` among them) whose part of the
    victims' slow time it accounts for, empty for all of it. ``culprit`` says who may be to blame: the owner with most of the
    device's time, of those with most of the CPU's the one whose use grew most, or the parent of most new processes; ``other`` that it
    must not be the victim itself. ``causes`` names the causes whose signs it produces itself. ``claim`` is a sentence with {subject},
    {victim} and {culprit}; ``actions`` are ids of the catalogue.
    """

    code: str
    scope: Scope
    claim: str
    necessary: tuple[Term, ...]
    supporting: tuple[Term, ...] = ()
    vetoes: tuple[Term, ...] = ()
    explains: frozenset[str] = frozenset()
    culprit: Literal["", "device", "cpu", "parent"] = ""
    other: bool = False
    causes: frozenset[str] = frozenset()
    actions: tuple[str, ...] = ()
