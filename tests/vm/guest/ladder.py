"""Every rung of every family at once, each in tables of its own: one workload proves them all, and they must agree on it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from perflens.agent import operations_of
from perflens.decode.cells import cell_info_decoder
from perflens.errors import ProbeError
from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import Host, inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover

RUNGS = [(family, mechanism) for family, probe in discover().items() for mechanism in probe.mechanisms]
NAMES = [f"{family}-{mechanism}" for family, mechanism in RUNGS]
NEVER = 1 << 40  # ns: a threshold that nothing here reaches
CELLS = 4_096


class Series(NamedTuple):
    """What a cell counts: the owner is the number of its cgroup, the object a file system or a disk, the part one of its probe's."""

    owner: int
    operation: str
    object_name: str
    part: int


class Sum(NamedTuple):
    """How many there were, and their sum: in ns, or in bytes of a part that counts those."""

    number: int
    total: int

    def __add__(self, other: tuple[object, ...]) -> Sum:
        assert isinstance(other, Sum)
        return Sum(self.number + other.number, self.total + other.total)


ZERO = Sum(0, 0)


@dataclass
class Tap:
    """A probe that is attached by one rung, and what it has counted since."""

    family: str
    mechanism: str
    kernel: AttachedProbe
    machine: str
    _series: list[Series] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._types = object_types(object_path(self.family, self.machine))
        self._operations = operations_of(self.family, discover()[self.family], self.machine)
        self._bindings = array("i", [-1]) * (2 * self.kernel.capacity)
        self._rows = array("Q", bytes(8 * HISTOGRAM_WIDTH * CELLS))
        self._slow = array("Q", bytes(8 * (SLOW_WIDTH + len(self.kernel.wait_reasons)) * CELLS))
        self._decode = cell_info_decoder(self._types.struct("cell_info"))

    def counts(self) -> Mapping[Series, Sum]:
        """All series; of one that is there twice (a cell of each operation stands for `other`) the sum."""
        assert not self._ledger[4]["no_cell"], "others have taken all cells of this machine meanwhile"
        while unbound := self.kernel.harvest(self._bindings, self._rows, self._slow):
            for cell in unbound:
                self._bindings[2 * cell] = self._bindings[2 * cell + 1] = len(self._series)
                key = self.kernel.key(cell)
                name = self._decode(self.kernel.info(cell)).object_name
                self._series.append(Series(key.owner, self._operations[key.operation], name, key.part))
        found: dict[Series, Sum] = {}
        for number, series in enumerate(self._series):
            at = number * HISTOGRAM_WIDTH
            found[series] = found.get(series, ZERO) + Sum(self._rows[at], self._rows[at + 1])
        return found

    def of(self, *, part: int = 0, **wanted: object) -> Sum:
        """The sum over the series of a part that have these values."""
        rows = ((series._asdict(), own) for series, own in self.counts().items() if series.part == part)
        return sum((own for series, own in rows if wanted.items() <= series.items()), ZERO)

    @property
    def missed(self) -> int:
        """How often the kernel skipped a program of it, at most."""
        return sum(self._ledger[3].values())

    @property
    def _ledger(self) -> tuple[int, dict[str, int], int, dict[tuple[str, str], int], dict[str, int]]:
        return self.kernel.ledger(self.kernel.slots.read())


@dataclass(frozen=True)
class Ladder:
    """The rungs that are attached, and why the others are not."""

    taps: Mapping[tuple[str, str], Tap]
    refused: Mapping[tuple[str, str], str]

    def of(self, family: str) -> list[Tap]:
        """Every rung of one family."""
        return [tap for (own, _), tap in self.taps.items() if own == family]


def _attach(family: str, mechanism: str, host: Host) -> AttachedProbe:
    probe = discover()[family]
    thresholds = [NEVER] * len(operations_of(family, probe, host.machine))
    return attach(family, probe, host, rung=mechanism, sizes=Sizes.of(host, CELLS), thresholds=thresholds)


@contextmanager
def ladder(*families: str) -> Iterator[Ladder]:
    """Attach every rung of these families, or of all."""
    host, taps, refused = inspect(), {}, {}
    with ExitStack() as stack:
        for family, mechanism in RUNGS:
            if families and family not in families:
                continue
            try:
                kernel = _attach(family, mechanism, host)
            except ProbeError as error:
                refused[family, mechanism] = error.reason
                continue
            stack.callback(kernel.close)
            taps[family, mechanism] = Tap(family, mechanism, kernel, host.machine)
        yield Ladder(taps, refused)


def is_refused(reason: str) -> bool:
    """Whether every attempt failed because the kernel does not permit it, whatever the programs are."""
    return all(os.strerror(1) in part for part in reason.split("; "))
