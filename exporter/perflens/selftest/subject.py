"""The agent that is proven, as the checks see it: here in this process, or elsewhere on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from perflens.model import ProbeState
from perflens.selftest.page import Page

__all__ = ["Event", "Subject"]

Event = Mapping[str, Any]
"""A slow operation as the API shows it: docs/api.md."""


class Subject(Protocol):
    """An agent. ``attaches`` is whether ``start`` attaches probes, so that a time before it can be compared; else it ran before."""

    attaches: bool

    def start(self) -> None:
        """Attach the probes, or see that it can be asked; PerfLensError when not."""

    def states(self) -> Mapping[str, ProbeState]:
        """Return how each probe stands, by name."""

    def page(self) -> Page:
        """Return the metrics as they are now."""

    def events(self, probe: str, min_duration: int) -> Sequence[Event]:
        """Return the slow operations of a probe that took so many ns, the newest first; PerfLensError when it does not tell."""

    def threshold(self, probe: str, operation: str) -> int:
        """Return from how many ns on an operation is slow; 0 when it is not known."""
