"""All that is known of one window, as it is handed to the analyzer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from perflens.analysis import Subject
from perflens.analyzer.identities import Identities
from perflens.analyzer.signals import Signal
from perflens.analyzer.totals import Totals
from perflens.model import Evidence

__all__ = ["Window"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` to ``end``, ns since the epoch. ``totals`` is what was counted in it, ``events`` what is known of single operations.

    ``host`` has the signals that others measured, ``changes`` what was changed before (each with a ``detail``), ``culprits`` who has
    most of the CPU's time (``cpu``) or of the new processes (``parent``). ``slow`` holds the slow seconds of each second up to ``end``,
    ``usual`` those of the minutes before. ``gaps`` says what could not be measured,
    ``identities`` what is known of disks and owners beyond the host.
    """

    start: int
    end: int
    totals: Totals
    events: Sequence[Evidence]
    host: Sequence[Signal] = ()
    changes: Sequence[Signal] = ()
    culprits: Mapping[tuple[str, Subject], Sequence[Subject]] = field(default_factory=dict)
    slow: Sequence[float] = ()
    usual: Sequence[float] = ()
    gaps: tuple[str, ...] = ()
    identities: Identities = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / _SECOND
