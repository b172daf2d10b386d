"""A scrape, from the counters in the kernel's cells to the bytes of the page, against prometheus_client with the same series."""

from __future__ import annotations

import platform
import random
import struct
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as PeerCollector

from perflens.aggregate.family import Family
from perflens.export.prometheus import families
from perflens.export.prometheus.page import Collector, Page, Query
from perflens.kernel import _native
from perflens.kernel.attached import object_path, object_types
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OCTAVES, SLOW_WIDTH, CellKey, SeriesKey, octave_bounds
from perflens.owner_levels import labels_of
from perflens.probe import Histogram
from perflens.probes.file import PROBE
from tests.bench.report import Line, Result
from tests.bench.rounds import Rounds, measure

__all__ = ["scrape_10k", "scrape_100k"]

_OPERATIONS = ("read", "write", "fsync", "sync_range", "copy")
_SAMPLES_A_SERIES = OCTAVES + 3 + 2  # buckets, +Inf, sum, count; and two of slow operations
_SHARDS = (2, 8)
(_HISTOGRAM,) = (part for part in PROBE.parts if isinstance(part, Histogram))


class _Cells:
    """Memory that stands in for the kernel's: cells in shards, and their keys, laid out as the compiled object says."""

    def __init__(self, cells: int, shards: int) -> None:
        types = object_types(object_path("file", platform.machine()))
        cell, key = types.struct("cell"), types.struct("cell_key")
        self.capacity = cells
        self._memory, self._keys = bytearray(cells * shards * cell.size), bytearray(cells * key.size)
        self.wait_reasons = tuple(types.enum("wait_reason"))[: cell["wait"].count]
        offsets = (cell["sum"].offset, cell["slow"].offset, cell["slow_sum"].offset)
        waits, keys = (cell["wait"].offset, cell["wait"].count), (key.size, key["state"].offset)
        self._layout = (cell.size, cell["bucket"].offset, cell["bucket"].count, *offsets, *waits, shards, *keys)
        live = types.enum("cell_state")["CELL_LIVE"]
        for index in range(cells):
            struct.pack_into("=I", self._keys, index * key.size + key["state"].offset, live)
        self._filled = self._counts(cells * shards, cell.size, offsets)

    def _counts(self, cells: int, size: int, offsets: tuple[int, int, int]) -> bytes:
        filled, chance = bytearray(cells * size), random.Random(1)
        for at in range(0, len(filled), size):
            struct.pack_into(f"={BUCKETS}I", filled, at + self._layout[1], *(chance.randrange(1, 2000) for _ in range(BUCKETS)))
            for offset, form in zip(offsets, ("=Q", "=I", "=Q"), strict=True):
                struct.pack_into(form, filled, at + offset, chance.randrange(1, 10**6))
        return bytes(filled)

    def fill(self) -> None:
        """Count in every bucket of every shard of every cell, as operations since the last scrape do."""
        self._memory[:] = self._filled

    def harvest(self, bindings: array[int], rows: array[int], slow: array[int]) -> list[int]:
        return _native.harvest(self._memory, self._keys, bindings, rows, slow, self._layout)

    def key(self, index: int) -> CellKey:
        return CellKey(1 + index // len(_OPERATIONS), 0, index % len(_OPERATIONS))

    def kill(self, index: int) -> None:
        raise NotImplementedError("no owner goes while this runs")

    give_back = kill


def _name(_cell: int, key: CellKey) -> SeriesKey:
    return SeriesKey(_OPERATIONS[key.operation], "ext4", f"customer-{key.owner:05}.service")


class _Peer(PeerCollector):
    """The same families, as a collector for prometheus_client is written."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        histogram = HistogramMetricFamily(f"perflens_{_HISTOGRAM.name}", _HISTOGRAM.help, labels=("operation", "fs", "unit"))
        bounds, data = [*map(repr, octave_bounds()), "+Inf"], self._family.histograms.data
        for key, row in self._family.histograms:
            own = data[row * HISTOGRAM_WIDTH : (row + 1) * HISTOGRAM_WIDTH]
            counts = (*accumulate(own[2 + BUCKETS :]), own[0])
            histogram.add_metric((key.operation, key.object, key.owner), list(zip(bounds, counts, strict=True)), own[1] / 1e9)
        yield histogram
        for column, name in enumerate(("perflens_slow_operations", "perflens_slow_operation_seconds")):
            counter = CounterMetricFamily(name, "The same as ours.", labels=("probe", "operation", "unit"))
            for key, row in self._family.slow:
                counter.add_metric(("file", key.operation, key.owner), self._family.slow.data[row * SLOW_WIDTH + column])
            yield counter


class _Scrape:
    """A family over filled cells, rendered by us and by the peer."""

    def __init__(self, series: int, shards: int) -> None:
        self._cells = _Cells(series, shards)
        self._family = Family(self._cells, _name, limit=100_000, has_owner=True)
        histogram = families.histogram_family(_HISTOGRAM, self._family.histograms, labels_of("unit"))
        slow = families.slow_families({"file": self._family.slow}, labels_of("unit"))
        self._page = Page((Collector("file", histogram), Collector("slow_operations", slow)), self._family.harvest)
        self._peer = CollectorRegistry()
        self._peer.register(_Peer(self._family))

    def text(self) -> bytes | bytearray:
        """Return the page."""
        return self._page.render(Query())

    def _by_peer(self) -> bytes | bytearray:
        self._family.harvest()
        return generate_latest(self._peer)

    def rounds(self, count: int) -> Rounds:
        """Return the ms of CPU time of each way, all cells filled anew before each."""
        variants: dict[str, Callable[[], object]] = {
            "text": self.text,
            "gzip": lambda: self._page.render(Query(gzip=True)),
            "harvest": self._family.harvest,
            "prometheus_client": self._by_peer,
        }
        return measure({name: partial(self._timed, work) for name, work in variants.items()}, count)

    def _timed(self, work: Callable[[], object]) -> float:
        self._cells.fill()
        began = time.thread_time()
        work()
        return (time.thread_time() - began) * 1e3


def _row(row: str, samples: int, budget: float, rounds: int) -> Iterator[Line]:
    for shards in _SHARDS:
        scrape = _Scrape(samples // _SAMPLES_A_SERIES, shards)
        page = scrape.text()
        lines = sum(not line.startswith(b"#") for line in page.splitlines())
        found = scrape.rounds(rounds)
        medians = ", ".join(f"{name} {found.plain(name).median:.1f} ms" for name in found.values[0])
        peer = f"text / prometheus_client {found.ratio('text', 'prometheus_client').median:.3f}"
        size = f"{lines:,} samples, {len(page) / 1e6:.1f} MB"
        yield Result(row, f"harvest and text, {shards} shards", found.plain("text"), "ms", budget, f"{size}; {medians}; {peer}")


def scrape_10k() -> Iterator[Line]:
    """A scrape of 10,000 samples."""
    yield from _row("scrape_10k", 10_000, 6, 31)


def scrape_100k() -> Iterator[Line]:
    """A scrape of 100,000 samples."""
    yield from _row("scrape_100k", 100_000, 60, 9)
