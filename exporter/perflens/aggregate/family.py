"""The histograms of one probe: harvests its cells, binds them to series, and gives the cells of dead owners back."""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from perflens.aggregate.series import SeriesTable
from perflens.model import HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, CellKey, SeriesKey

__all__ = ["Cells", "Family"]

_GRACE_HARVESTS = 2
_GRACE_SECONDS = 5.0


class Cells(Protocol):
    """What a family asks of the kernel's cells."""

    capacity: int
    wait_reasons: tuple[str, ...]

    def harvest(self, bindings: array[int], rows: array[int], slow: array[int]) -> list[int]: ...
    def key(self, index: int) -> CellKey: ...
    def kill(self, index: int) -> None: ...
    def give_back(self, index: int) -> None: ...


class _Dying(NamedTuple):
    cell: int
    owner: int
    harvests: int
    since: float


class Family:
    """Series of one probe. ``name_cell`` gives the labels of a cell, None while they are not known; ``has_owner`` whether series carry
    an owner. A cell without labels is held: the kernel keeps its counts until it is bound.

    ``is_named`` says whether the kernel noted whose a cell is: such cells are bound first, so that others find their owner known.
    Each of its parts is a metric of at most ``limit`` series; ``counted`` is the one that has each operation once.
    """

    def __init__(
        self,
        cells: Cells,
        name_cell: Callable[[int, CellKey], SeriesKey | None],
        is_named: Callable[[int], bool] = lambda _: True,
        *,
        limit: int,
        has_owner: bool,
        counted: int = 0,
    ) -> None:
        other = OTHER if has_owner else ""
        self._harvested_at = self._harvested_before = time.time()
        self._cells, self._name_cell, self._is_named, self._counted = cells, name_cell, is_named, counted
        self.histograms = SeriesTable(HISTOGRAM_WIDTH, limit, lambda key: SeriesKey(key.operation, OTHER, other, key.part), self._since)
        self.slow = SeriesTable(SLOW_WIDTH + len(cells.wait_reasons), limit, lambda key: SeriesKey(key.operation, "", other), self._since)
        self._bindings = array("i", [-1]) * (2 * cells.capacity)
        self._bound: dict[int, tuple[SeriesKey, SeriesKey]] = {}
        self._by_owner: defaultdict[int, set[int]] = defaultdict(set)
        self._held: dict[int, int] = {}  # owner by cell
        self._dying: deque[_Dying] = deque()
        self._dying_of: Counter[int] = Counter()
        self._harvests = 0

    @property
    def cells_used(self) -> int:
        """Cells that are bound to a series or on their way back to the kernel."""
        return len(self._bound)

    def harvest(self) -> None:
        """Take what the kernel has counted since the last harvest."""
        self._harvests += 1
        self._harvested_before, self._harvested_at = self._harvested_at, time.time()
        unbound = self._cells.harvest(self._bindings, self.histograms.rows.data, self.slow.rows.data)
        if unbound:
            for cell in sorted(unbound, key=self._is_named, reverse=True):
                self._bind(cell)
            self._cells.harvest(self._bindings, self.histograms.rows.data, self.slow.rows.data)

    def kill(self, owners: Iterable[int], now: float) -> None:
        """Begin to give back the cells of owners that are gone; ``now`` is in seconds of a clock that never goes back."""
        for owner in owners:
            for cell in self._by_owner.pop(owner, ()):
                self._kill(cell, owner, now)

    def kill_renamed(self, name_of: Callable[[int], str], now: float) -> None:
        """Likewise the cells whose object, the kernel's opaque one, has another name by now: ``name_of`` gives it, empty if it has none."""
        for owner, cells in self._by_owner.items():
            for cell in [own for own in cells if self._is_renamed(own, name_of)]:
                cells.discard(cell)
                self._kill(cell, owner, now)

    @property
    def is_holding(self) -> bool:
        """Whether cells wait for their labels."""
        return bool(self._held)

    @property
    def is_recycling(self) -> bool:
        """Whether cells wait to be given back."""
        return bool(self._dying)

    def recycle(self, now: float) -> None:
        """Give back the cells that were killed long enough ago and harvested since."""
        while self._dying and self._is_over(self._dying[0], now):
            cell, owner, *_ = self._dying.popleft()
            self._dying_of[owner] -= 1
            if not self._dying_of[owner]:
                del self._dying_of[owner]
            self._unbind(cell, now)
            self._cells.give_back(cell)

    def has_cells(self, owner: int) -> bool:
        """Whether a living, a dying or a held cell belongs to this owner."""
        return owner in self._by_owner or owner in self._dying_of or owner in self._held.values()

    def expire(self, before: float) -> None:
        """Remove the series that have had no cell since ``before``."""
        self.histograms.expire(before)
        self.slow.expire(before)

    def counts(self) -> tuple[int, int]:
        """Return (aggregated, other): the operations in named series and those in `other` series."""
        return self.histograms.counts(self._counted)

    def operations_by_owner(self) -> Counter[str]:
        """Return the operations in the series of each owner."""
        found = Counter[str]()
        for key, count in self.histograms.items():
            if key.part == self._counted:
                found[key.owner] += count
        return found

    def _kill(self, cell: int, owner: int, now: float) -> None:
        self._cells.kill(cell)
        self._dying.append(_Dying(cell, owner, self._harvests, now))
        self._dying_of[owner] += 1

    def _is_renamed(self, cell: int, name_of: Callable[[int], str]) -> bool:
        name = name_of(self._cells.key(cell).object)
        return bool(name) and self._bound[cell][0].object not in (name, OTHER)

    def _is_over(self, dying: _Dying, now: float) -> bool:
        return self._harvests >= dying.harvests + _GRACE_HARVESTS and now >= dying.since + _GRACE_SECONDS

    def _since(self) -> float:
        """A series that is made now has counted since the harvest before this one: Prometheus takes no time that is not before a scrape."""
        return self._harvested_before

    def _bind(self, cell: int) -> None:
        kernel_key = self._cells.key(cell)
        labels = self._name_cell(cell, kernel_key)
        if labels is None:
            self._held[cell] = kernel_key.owner
            return
        self._held.pop(cell, None)
        key = self.histograms.bind(labels)
        slow_key = self.slow.bind(SeriesKey(key.operation, "", key.owner))
        self._bound[cell] = key, slow_key
        self._bindings[2 * cell] = self.histograms.row(key)
        self._bindings[2 * cell + 1] = self.slow.row(slow_key)
        if kernel_key.owner:
            self._by_owner[kernel_key.owner].add(cell)

    def _unbind(self, cell: int, now: float) -> None:
        key, slow_key = self._bound.pop(cell)
        self._bindings[2 * cell] = self._bindings[2 * cell + 1] = -1
        self.histograms.unbind(key, now)
        self.slow.unbind(slow_key, now)
