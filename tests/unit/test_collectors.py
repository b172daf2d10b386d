"""agent/collectors.py: the families over tables of this test."""

from __future__ import annotations

from collections import Counter as Operations
from types import SimpleNamespace

from perflens.agent.collectors import _counter, _overhead
from perflens.aggregate.series import SeriesTable
from perflens.export.prometheus.form import Render
from perflens.model import OTHER, SeriesKey
from perflens.owner_levels import labels_of
from perflens.probe import Counter

FORKS = Counter("processes_forked_total", help="Forks.")


class Table(SeriesTable):
    """Series with their counts; without owners their `other` has no owner either."""

    def __init__(self, has_owner: bool = True) -> None:
        super().__init__(2, 100, lambda key: SeriesKey(key.operation, OTHER, OTHER if has_owner else ""))

    def count(self, key: SeriesKey, number: int) -> None:
        if key not in self:
            self.bind(key)
        self.data[self.row(key) * self.width] += number

    def drop(self, key: SeriesKey) -> None:
        """Let the series expire."""
        self.unbind(key, 1.0)
        self.expire(2.0)


def lines(render: Render) -> list[str]:
    """The samples of the page."""
    return [line for line in b"".join(render(lambda _: True)).decode().splitlines() if not line.startswith("#")]  # type: ignore[call-arg]


def forks(table: Table, level: str) -> list[str]:
    own = SimpleNamespace(family=SimpleNamespace(histograms=table))
    return lines(_counter(own, "fork", FORKS, labels_of(level)))  # type: ignore[arg-type]


def test_counters_without_owners_are_one_series() -> None:
    """Forks that had no cell are counted with the others where no label tells them apart, and beside them where one does."""
    bare, named = Table(has_owner=False), Table()
    bare.count(SeriesKey("fork", "unknown", ""), 3)
    bare.count(SeriesKey("fork", OTHER, ""), 4)
    bare.count(SeriesKey("exec", "unknown", ""), 1)
    named.count(SeriesKey("fork", "unknown", "a.service"), 3)
    named.count(SeriesKey("fork", OTHER, OTHER), 4)

    assert forks(bare, "node") == ["perflens_processes_forked_total{} 7"]
    assert sorted(forks(named, "unit")) == [
        'perflens_processes_forked_total{unit="a.service"} 3',
        'perflens_processes_forked_total{unit="other"} 4',
    ]


def test_overhead_never_falls() -> None:
    """What an owner's operations cost stays counted when some of its series expire, in any family; an owner without one is forgotten."""
    files, blocks = Table(), Table()
    ext4, xfs, sda = (SeriesKey("read", name, "a.service") for name in ("ext4", "xfs", "sda"))
    for table, key, number in ((files, ext4, 5), (files, xfs, 70), (blocks, sda, 100)):
        table.count(key, number)

    def family(table: Table) -> SimpleNamespace:
        return SimpleNamespace(operations_by_owner=lambda: Operations({"a.service": sum(count for _, count in table.items())}))

    running = [SimpleNamespace(family=family(table)) for table in (files, blocks)]
    render = _overhead(running, labels_of("unit"), 1_000_000_000)  # type: ignore[arg-type]
    shown = lines(render)
    files.drop(xfs)
    shown += lines(render)
    files.count(ext4, 1)
    blocks.drop(sda)
    shown += lines(render)

    assert [line.split()[1] for line in shown] == ["175.000000000", "175.000000000", "175.000000000"]
    files.count(ext4, 2)
    assert lines(render) == ['perflens_overhead_seconds_total{unit="a.service"} 177.000000000']
    files.drop(ext4)
    assert lines(render) == []
    files.count(ext4, 1)
    assert lines(render) == ['perflens_overhead_seconds_total{unit="a.service"} 1.000000000']
