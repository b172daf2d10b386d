"""What one family's checks look at: the known work, and the pages before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from perflens.model import NO_POD
from perflens.owner_levels import name_at
from perflens.selftest.model import Check, Family, Report
from perflens.selftest.page import Page
from perflens.selftest.subject import Event

__all__ = ["Case", "Owner"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose the work is: ``unit`` and, for the smaller share, ``beside``, as series name them.

    Where no cgroup could be made both are empty and ``shared`` says why: others' operations are then counted with ours.
    """

    unit: str = ""
    beside: str = ""
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One family with all that its checks need. ``thresholds`` are in ns by operation, 0 for one that is not known."""

    name: str
    family: Family
    owner: Owner
    report: Report
    share: Report
    before: Page
    after: Page
    thresholds: dict[str, int]
    mechanism: str = ""
    events: Sequence[Event] | None = None
    untold: str = ""
    object_name: str = ""

    def then(self, after: Page) -> Case:
        """Return the case with a later page."""
        return replace(self, after=after)

    def ok(self, name: str, expected: object, found: object) -> Check:
        """A line that holds."""
        return Check(self.name, name, str(expected), str(found), "ok")

    def failed(self, name: str, expected: object, found: object, reason: str) -> Check:
        """A line that does not; the reason has the cure after a semicolon."""
        return Check(self.name, name, str(expected), str(found), "failed", reason)

    def skipped(self, name: str, expected: object, reason: str) -> Check:
        """A line that cannot be told."""
        return Check(self.name, name, str(expected), "", "skipped", reason)

    @property
    def tells_owners(self) -> bool:
        """Whether series tell owners apart; a page without any series of ours does not say that they do not."""
        return bool(self._owner_label) or not any(map(self.after.has, self._counted))

    @property
    def is_exact(self) -> bool:
        """Whether nobody else's operations are in our series."""
        return not self.owner.shared and self.tells_owners

    @property
    def _owner_label(self) -> str:
        """The label that has the unit of what is in no pod: its own, or at another level the workload's."""
        labels = (label for label in ("unit", "workload") if any(self.after.values(label, own) for own in self._counted))
        return next(labels, "")

    @property
    def _counted(self) -> list[str]:
        return [*(f"{own}_count" for own in self.family.histograms), *self.family.counters.values()]

    def labels(self, unit: str | None = None) -> dict[str, str]:
        """Return the labels of our series."""
        if not self.is_exact:
            return {}
        unit = self.owner.unit if unit is None else unit
        return {"workload": name_at("workload", unit, NO_POD)} if self._owner_label == "workload" else {"unit": unit}

    def moved(self, metric: str, **labels: str) -> Decimal:
        """Return by how much a metric has grown, over all series with these labels."""
        return self.after.total(metric, **labels) - self.before.total(metric, **labels)

    def counted(self, operation: str, unit: str | None = None) -> dict[str, int]:
        """Return how many operations each metric of the family has counted."""
        own = self.labels(unit)
        found = {name: int(self.moved(f"{name}_count", operation=operation, **own)) for name in self.family.histograms}
        if operation in self.family.counters:
            metric = self.family.counters[operation]
            found[metric] = int(self.moved(metric, **own))
        return found
