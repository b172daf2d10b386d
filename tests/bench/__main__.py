"""`python -m tests.bench [ROW…]`: measure, print the table, write docs/benchmarks.md after a full run; exit 1 over a budget."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import agent, analyzer, passwords, requests, ring, scrape, spans, storm, switches, syscalls, top
from tests.bench.report import Line, Result, Skipped, document, table

ROWS: dict[str, Callable[[], Iterator[Line]]] = {
    "read_1B": syscalls.read_1b,
    "pread_4K": syscalls.pread_4k,
    "other_syscall": syscalls.other_syscall,
    "switch": switches.switch,
    "pipe": switches.pipe,
    "block_request": requests.block_request,
    "ring_header": ring.headers,
    "ring_stacks": ring.stacks,
    "spans": spans.spans,
    "slow_collector": spans.slow_collector,
    "scrape_10k": scrape.scrape_10k,
    "scrape_100k": scrape.scrape_100k,
    "memory": agent.memory,
    "scrape_storm": storm.scrapes,
    "memory_storm": storm.memory,
    "unknown_user": passwords.unknown_user,
    "idle": agent.idle,
    "start": agent.start,
    "analyzer_idle": analyzer.idle,
    "analyzer_incident": analyzer.incident,
    "top": top.screen,
}


def main() -> int:
    """Run the benchmarks that are named, all when none is."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the costs of PerfLens against their budgets.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all of them when none is named")
    names = parser.parse_args().rows or list(ROWS)
    if unknown := set(names) - set(ROWS):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if os.geteuid():
        parser.error("run it as root: it loads BPF programs")
    lines: list[Line] = []
    failed = False
    for name in names:
        print(f"{name} …", file=sys.stderr)
        try:
            for line in ROWS[name]():
                lines.append(line)
                print(table([line]).splitlines()[-1], file=sys.stderr)
        except (OSError, RuntimeError) as error:
            lines.append(Skipped(name, "not measured", str(error)))
            failed = True
    print(table(lines))
    if set(names) == set(ROWS):
        (Path(__file__).parents[2] / "docs" / "benchmarks.md").write_text(document(lines))
    return int(failed or any(isinstance(line, Result) and line.verdict == "FAIL" for line in lines))


sys.exit(main())
