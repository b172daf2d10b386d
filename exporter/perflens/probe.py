"""What a probe family declares: its metrics, its operations and the rungs by which it attaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Counter", "Histogram", "Probe", "Rung", "Total"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A duration histogram, fed by the family's cells.

    ``name`` has no ``perflens_`` prefix and ends in ``_seconds``; ``object_label`` names what the cell key's object is.
    """

    name: str
    help: str
    object_label: str


@dataclass(frozen=True, slots=True)
class Total:
    """A counter, fed by the family's cells: the sums of its part. ``name`` has no ``perflens_`` prefix and ends in ``_total``."""

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
    A name may be a pattern (fnmatch) for all of the object's programs that it fits. ``programs`` that are kprobes are attached to
    the functions of the object's programs that fit ``functions``; ``tails`` are programs by the table (BPF_MAP_TYPE_PROG_ARRAY) from
    whose first element others go on with them.
    ``waits`` are the programs of wait.h that split an operation's time, ``locks`` those of them that tell a lock from another
    sleep (kernels from 5.19 on); without either the rung still measures. Of ``either`` the first that this kernel takes is attached
    beside, or none. Rungs of one name are one mechanism on different kernels.
    """

    name: str
    programs: tuple[str, ...]
    functions: str = ""
    tails: Mapping[str, str] = field(default_factory=dict)
    waits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """One family. Its name, object file, configuration table and ``probe`` label are its module's name.

    ``operations`` is the C enum whose members are the operations; ``rungs`` are tried in order, the cheapest first.
    A family of durations has ``parts``, each a metric over cells of its own, of which ``counted`` has every operation once; one that
    only counts has none, and a counter by each operation that is shown. ``in_flight`` is the table of what has not ended: ``slots``
    by thread or ``requests``. ``requests`` is the C enum of the operations of the requests that are noted in its events, if any.
    ``cells`` is the most histogram cells that it takes, 0 for as many as are configured, ``shards`` the most shards of each; ``ring``
    is the size of its ring in bytes.
    """

    summary: str
    operations: str
    parts: tuple[Histogram | Total, ...]
    rungs: tuple[Rung, ...]
    enabled: bool = True
    counters: Mapping[str, Counter] = field(default_factory=dict)
    counted: int = 0
    in_flight: Literal["slots", "requests"] = "slots"
    requests: str = ""
    cells: int = 0
    shards: int = 8
    ring: int = 1 << 23

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics, without prefix."""
        return (*(part.name for part in self.parts), *(counter.name for counter in self.counters.values()))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The names of its rungs, each once."""
        return tuple(dict.fromkeys(rung.name for rung in self.rungs))

    @property
    def has_durations(self) -> bool:
        """Whether its operations last: then they are in flight while they do, have thresholds, and may be slow."""
        return bool(self.parts)

    @property
    def has_requests(self) -> bool:
        """Whether it measures requests, which belong to no thread, or tells which requests served its operations."""
        return self.in_flight == "requests" or bool(self.requests)

    @property
    def has_waits(self) -> bool:
        """Whether it can tell what its operations waited for."""
        return any(rung.waits for rung in self.rungs)
