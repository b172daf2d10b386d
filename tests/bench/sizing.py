"""What an agent exposes for so many containers: `python -m tests.bench.sizing` writes docs/scaling.md's table.

The agent is whole, but for its kernel side, into whose cells simulated containers have counted.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from perflens.agent import Agent, running, tree_of
from perflens.config import Settings
from perflens.config.settings import Analyzer, OwnerSettings, Series
from perflens.export.prometheus.page import Query
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.kernel.features import inspect
from perflens.registry import discover
from perflens.testing import FakeCells

__all__ = ["NODES", "Size", "measured", "table"]

NODES = (10, 100, 1_000)  # containers of a node
INTERVAL = 30  # s between scrapes
SCALING = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- Written by `make sizing`: do not edit. -->\n", "<!-- Until here. -->\n"

FILES = (("read", "overlay"), ("write", "overlay"), ("read", "ext4"), ("write", "ext4"), ("fsync", "ext4"))
REQUESTS = ("read", "write")
PARTS, BYTES = (0, 1, 2), 4  # held, in the queue, on the device
WAITS = ("block_io", "lock", "runqueue")
OBSERVED = 100  # operations of each


@dataclass(frozen=True)
class Size:
    """What an agent exposes: series and samples of both kinds of histograms, and the bytes of a page in each form."""

    containers: int
    classic: int
    native: int
    text: int
    text_gzip: int
    protobuf: int
    protobuf_gzip: int


def _settings() -> Settings:
    """With the largest limits, so that what is told is what there is; and without the analyzer, which has few series."""
    return replace(
        Settings(),
        cells=65_536,
        series=Series(limit=100_000),
        owner=OwnerSettings(level="unit"),
        analyzer=Analyzer(enabled=False),
    )


class _Node:
    """The kernel sides of an agent's probes, and containers that count there."""

    def __init__(self) -> None:
        self._cells: dict[str, FakeCells] = {}
        self._chance = random.Random(1)

    def attach(self, name: str, probe: Any, *_: object, **__: object) -> FakeCells:
        self._cells[name] = FakeCells(name, probe, cells=65_536)
        return self._cells[name]

    def run(self, number: int) -> None:
        """A container that uses two file systems and a disk, waits, and has begun processes."""
        owner = 1_000 + number
        path = ("kubepods.slice", f"kubepods-pod{number:032x}.slice", f"cri-containerd-{number * 0x9E3779B97F4A7C15 % 2**256:064x}.scope")
        file, block, process = (self._cells[name] for name in ("file", "block", "process"))
        for operation, fs in FILES:
            cell = [file.record(owner, fs, _number(file, operation), ns, path) for ns in self._durations()][-1]
            for reason in WAITS:
                file.wait(cell, reason, 10**9)
        for operation in REQUESTS:
            for part in PARTS:
                for ns in self._durations():
                    block.record(owner, "sda", _number(block, operation), ns, path, part=part)
            block.record(owner, "sda", _number(block, operation), 4_096 * OBSERVED, path, part=BYTES)
        for operation in ("fork", "exec", "exit"):
            process.record(owner, "", _number(process, operation), 0, path)

    def _durations(self) -> Iterator[int]:
        """From the page cache to a busy disk."""
        return (int(10 ** self._chance.gauss(5.5, 1)) for _ in range(OBSERVED))


def _number(cells: FakeCells, operation: str) -> int:
    return next(number for number, label in cells.operations.items() if label == operation)


@contextmanager
def _agent(node: _Node) -> Iterator[Agent]:
    settings = _settings()
    own = Agent(settings, host := inspect(), discover(), tree_of(host, settings))
    try:
        with patch.object(running, "start", node.attach):
            own.start()
        yield own
    finally:
        own.explainer.close()
        own.drainer.shutdown()
        own.worker.shutdown()


def measured(containers: int) -> Size:
    """Render the pages of a node with so many containers."""
    node = _Node()
    with _agent(node) as own:
        for number in range(containers):
            node.run(number)
        text = own.page.render(Query())
        gzipped, protobuf, both = (
            len(own.page.render(query)) for query in (Query(gzip=True), Query(form=PROTOBUF), Query(form=PROTOBUF, gzip=True))
        )
    samples = [line for line in text.decode().splitlines() if not line.startswith("#")]
    of_histograms = sum("_bucket{" in line or "_seconds_sum{" in line or "_seconds_count{" in line for line in samples)
    native = sum("_seconds_count{" in line for line in samples)
    return Size(containers, len(samples), len(samples) - of_histograms + native, len(text), gzipped, protobuf, both)


def _bytes(number: int) -> str:
    return f"{number / 1024:,.0f} KiB" if number < 10 * 1024**2 else f"{number / 1024**2:,.1f} MiB"


def table(sizes: Mapping[int, Size]) -> str:
    """Return the table of the page."""
    head = (
        "containers",
        "series, classic",
        "samples/s",
        "series, native",
        "samples/s",
        "text",
        "text, gzip",
        "protobuf",
        "protobuf, gzip",
        "spans/s",
    )
    rows = [head, ("---:",) * len(head)]
    for size in sizes.values():
        counts = (size.classic, size.classic / INTERVAL, size.native, size.native / INTERVAL)
        sent = (size.text, size.text_gzip, size.protobuf, size.protobuf_gzip)
        spans = 2 * min(size.containers, Settings().events.explained)
        rows.append((f"{size.containers:,}", *(f"{own:,.0f}" for own in counts), *map(_bytes, sent), f"{spans:,}"))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    """Measure every size and write the table into the page."""
    written = table({containers: measured(containers) for containers in NODES})
    before, rest = SCALING.read_text().split(BEGIN)
    SCALING.write_text(before + BEGIN + "\n" + written + "\n" + END + rest.split(END)[1])
    print(written, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
