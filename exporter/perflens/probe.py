"""What a probe family declares: its metrics, its operations and the rungs by which it attaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Counter", "Histogram", "Probe", "Rung"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A duration histogram, fed by the family's cells.

    ``name`` has no ``perflens_`` prefix and ends in ``_seconds``; ``object_label`` names what the cell key's object is.
    """

    name: str
    help: str
    object_label: str


@dataclass(frozen=True, slots=True)
class Counter:
    """A count of one operation by owner. ``name`` has no ``perflens_`` prefix and ends in ``_total``."""

    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to attach: its name and its programs, in the order in which they are attached.

    The program that ends operations comes first: an operation whose exit could not be seen must not begin.
    ``waits`` are the programs of wait.h that split an operation's time, ``locks`` those of them that tell a lock from another
    sleep (kernels from 5.19 on); without either the rung still measures.
    """

    name: str
    programs: tuple[str, ...]
    waits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """One family. Its name, object file, configuration table and ``probe`` label are its module's name.

    ``operations`` is the C enum whose members are the operations; ``rungs`` are tried in order, the cheapest first.
    A family of durations has a ``histogram``; one that only counts has none, and a counter by each operation that is shown.
    ``cells`` is the most histogram cells that it takes, 0 for as many as are configured; ``ring`` is the size of its ring in bytes.
    """

    summary: str
    operations: str
    histogram: Histogram | None
    rungs: tuple[Rung, ...]
    enabled: bool = True
    counters: Mapping[str, Counter] = field(default_factory=dict)
    cells: int = 0
    ring: int = 1 << 24

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics, without prefix."""
        return (*((self.histogram.name,) if self.histogram else ()), *(counter.name for counter in self.counters.values()))

    @property
    def has_durations(self) -> bool:
        """Whether its operations last: then they have slots while they do, waits, thresholds, and may be slow."""
        return self.histogram is not None
