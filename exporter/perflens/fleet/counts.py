"""What the analyzer of a fleet knows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from perflens.analysis import AnalysisCounts

__all__ = ["FleetCounts"]


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """``agents`` that are asked, those that are ``up``, those ``left_out`` for being too many, and those whose name DNS did not tell.

    ``reads`` is by outcome, ``merges`` by reason. ``lost`` counts incidents whose agent was silent for too long, ``dropped`` those that
    there was no room for, ``unreadable`` those that were no incidents. ``seconds`` is what ``rounds`` took in all.
    """

    agents: int = 0
    up: int = 0
    left_out: int = 0
    unresolved: int = 0
    reads: Mapping[str, int] = field(default_factory=dict)
    merges: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 0
    failed: int = 0
    seconds: float = 0.0
    lost: int = 0
    dropped: int = 0
    unreadable: int = 0
    analysis: AnalysisCounts = field(default_factory=AnalysisCounts)
