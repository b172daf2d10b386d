"""docs/kernels.md: every rung of every family by kernel, then one row for each further check; a run replaces the columns of its kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["Run", "merged", "outcomes", "properties"]

_HEAD = """# Kernels

What was proven on which kernel: `make test-vm`, or `make test-vm KERNELS="6.1 native"` for some of them, whose columns it writes anew.
The kernels are Debian's own, in guests that QEMU emulates; `native` is the machine that ran it, without a guest. Emulation is slow, so
the checks count and compare, and time nothing but delays of 100 ms and more that the disk or its cgroup's limit was told.

For aarch64 `make test-vm KERNELS=aarch64` boots Debian's 6.12 with the cross-compiled wheel, and has no column. Run there on 2026-11-29,
with the rungs tp_btf and raw_tp: both attach for every family, with waits, and held back bios are seen by function; reads, writes,
syncs and copies, requests and bytes of disks, forks and execs are counted exactly. The native module's own tests run in an emulated
Python. Not run: fentry and kprobe, delays, layers, owners, discards and flushes (Debian has no scsi_debug for aarch64), other kernels,
and a real machine, whose order of memory no emulator on x86 has.

On 5.10 bcc is tried by `make test-vm KERNELS=5.10 CHECKS=bcc`, which compiles for minutes and writes no column. Run there on 2026-11-30:
both loaders count the same, and so do bcc's bitesize and biolatency, which does not attach to 6.1, with 434 requests; its
fileslower counts the same 1,013 writes, and 1,001 of 1,009 reads: its kretprobes follow as many calls at once as there are CPUs.
"""
_MATRIX = """
A cell is `pass` if every program of that rung loads and attaches, and its counts of a known workload are exact: reads, writes, syncs and
copies in every form, buffered and direct; requests and their bytes under the schedulers none and mq-deadline, against the kernel's own
count; forks, execs and exits. All rungs are attached at once and see the same work. `refused: EPERM`: that kernel lets nobody attach so.

"""
_FURTHER = """
## Further checks

They are the tests in `tests/vm/guest/`. A cell that is neither `pass` nor `FAIL` says what was lacking there, or what a check that passed
has measured; `-` was not run on it.

"""
_CORNER, _VERSION, _DATE = "check", "kernel", "run on"
_HEADS = (_VERSION, _DATE)
_PASS, _FAIL, _NONE = "pass", "FAIL", "-"


@dataclass(frozen=True, slots=True)
class Run:
    """What one kernel did: ``cells`` by family and rung, ``checks`` by name, each with pass, FAIL or why not."""

    series: str
    version: str
    date: str
    cells: Mapping[str, str]
    checks: Mapping[str, str]

    @property
    def column(self) -> dict[str, str]:
        """Its cells, by the name of the row."""
        return {_VERSION: self.version, _DATE: self.date, **self.cells, **self.checks}


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag: child for child in case}
    if kinds.keys() & {"failure", "error"}:
        return _FAIL
    if "skipped" in kinds:
        return kinds["skipped"].get("message", "skipped")
    return next((own.get("value", "") for own in case.iter("property") if own.get("name") == "measured"), _PASS)


def _worst(found: Sequence[str]) -> str:
    """FAIL before any reason, a reason before pass."""
    return max(found, key=lambda own: (own == _FAIL, own != _PASS))


def outcomes(reports: Iterable[str], cells: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the outcomes of the cells, and of every other check, from reports in JUnit's form; of several of one the worst.

    A test with the name of a cell in its parameters belongs to that cell; a cell that nothing proved has failed.
    """
    of_cells: dict[str, list[str]] = {cell: [] for cell in cells}
    checks: dict[str, list[str]] = {}
    for case in (case for report in reports for case in ElementTree.fromstring(report).iter("testcase")):  # noqa: S314 - of our own run
        area = (case.get("classname") or "").rsplit(".", 1)[-1].removeprefix("test_")
        name, _, rest = (case.get("name") or "").removeprefix("test_").partition("[")
        parameters = rest.removesuffix("]")
        label = f"{area}: {name.replace('_', ' ')}" + (f" ({parameters})" if parameters else "")
        found = of_cells[parameters] if parameters in of_cells else checks.setdefault(label, [])
        found.append(_outcome(case))
    return {cell: _worst(found or [_FAIL]) for cell, found in of_cells.items()}, {name: _worst(found) for name, found in checks.items()}


def properties(junit: str) -> dict[str, str]:
    """Return what the tests of a report have noted."""
    found = ElementTree.fromstring(junit).iter("property")  # noqa: S314 - written by our own run
    return {own.get("name", ""): own.get("value", "") for own in found}


def _table(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """The columns of the tables of a page, which have the same heads, each by its row's name."""
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in lines if line.startswith("|")]
    heads = rows[0][1:] if rows else []
    return {head: {row[0]: row[place] for row in rows if row[place] != _NONE} for place, head in enumerate(heads, 1)}


def _rows(names: Iterable[str], columns: Mapping[str, Mapping[str, str]], order: Sequence[str]) -> str:
    lines = [[_CORNER, *order], ["---"] * (len(order) + 1)]
    lines += [[name, *(columns[series].get(name, _NONE) for series in order)] for name in names]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _place(series: str) -> list[int]:
    """Numbers in their order, then words in that of the alphabet: newest after native would be wrong."""
    return [int(part) if part.isdecimal() else (1 << 16) + (part == "native") for part in series.split(".")]


def merged(page: Path, run: Run) -> str:
    """Return the page's text with the column of a run in place of an older one of its series."""
    columns = _table(page.read_text().splitlines()) if page.exists() else {}
    columns[run.series] = run.column
    order = sorted(columns, key=_place)
    matrix = (*_HEADS, *run.cells)
    further = sorted({name for column in columns.values() for name in column} - {*matrix, _CORNER, "---"})
    return f"{_HEAD}{_MATRIX}{_rows(matrix, columns, order)}{_FURTHER}{_rows(further, columns, order)}"
