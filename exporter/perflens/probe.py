"""What a probe family declares: its metric, its operations and the rungs by which it attaches."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Histogram", "Probe", "Rung"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A duration histogram, fed by the family's cells.

    ``name`` has no ``perflens_`` prefix and ends in ``_seconds``; ``object_label`` names what the cell key's object is.
    """

    name: str
    help: str
    object_label: str


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
    """

    summary: str
    operations: str
    histogram: Histogram
    rungs: tuple[Rung, ...]
    enabled: bool = True
