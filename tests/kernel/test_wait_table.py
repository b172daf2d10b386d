"""The table of functions in which a sleep has a reason, against the functions that this kernel has."""

from __future__ import annotations

import struct
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from perflens.enrich.symbols.kallsyms import KernelSymbols, stem
from perflens.enrich.wait_reasons import FUNCTIONS
from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.registry import discover

LEAST = {
    "block_io": 8,
    "futex": 2,
    "writeback": 4,
    "tag": 3,
    "flush": 1,
    "swapin": 2,
    "dirty_throttle": 1,
    "reclaim": 5,
    "memcg_high": 1,
    "freeze": 1,
    "cgroup_throttle": 1,
}
OF_MODULES = {"journal": ("jbd2_journal_stop", 10), "remote": ("fuse_abort_conn", 2)}  # a function that tells whether they are loaded


@pytest.fixture(scope="module")
def functions() -> dict[int, str]:
    """Every function of this kernel by its address, as the source has it; of those at one address, one of the table."""
    found: dict[int, str] = {}
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, kind, name = line.split()[:3]
        if kind in "tTwW" and found.get(int(address, 16)) not in FUNCTIONS:
            found[int(address, 16)] = stem(name)
    if not any(found):
        pytest.skip("needs a kernel that shows its addresses")
    return found


def test_each_reason_is_told_by_functions_of_this_kernel(functions: dict[int, str]) -> None:
    """Functions come and go with versions and settings: of each reason there are enough left, else those that are missing are named."""
    symbols = frozenset(functions.values())
    least = LEAST | {reason: number for reason, (sign, number) in OF_MODULES.items() if sign in symbols}
    missing: defaultdict[str, list[str]] = defaultdict(list)
    present: defaultdict[str, list[str]] = defaultdict(list)
    for function, reason in FUNCTIONS.items():
        (present if function in symbols else missing)[reason].append(function)

    assert {*FUNCTIONS.values()} == LEAST.keys() | OF_MODULES.keys()
    assert {reason: missing[reason] for reason, number in least.items() if len(present[reason]) < number} == {}


def test_ranges_are_those_of_the_functions(functions: dict[int, str]) -> None:
    """Sorted, none over another, of every function of the table that the kernel has and of no other, each with its reason."""
    ranges = KernelSymbols().ranges(FUNCTIONS)

    assert {first: reason for first, _, reason in ranges} == {at: FUNCTIONS[name] for at, name in functions.items() if name in FUNCTIONS}
    assert all(first < end <= above for (first, end, _), (above, _, _) in pairwise(ranges))
    assert all(functions.keys().isdisjoint(range(first + 1, end)) for first, end, _ in ranges)


@pytest.mark.usefixtures("functions")
def test_table_fits(rung: str) -> None:
    """Every range finds room in the kernel's table, and stands there in order, by the number of its reason."""
    host = inspect()
    ranges = KernelSymbols().ranges(FUNCTIONS)
    probe = attach("file", discover()["file"], host, rung=rung, sizes=Sizes.of(host, 64), thresholds=[1 << 40] * 5)
    without_room = probe.set_wait_frames(ranges)
    table = list(struct.iter_unpack("=3Q", probe._frames[:]))
    reasons = probe.wait_reasons
    probe.close()

    assert without_room == 0
    assert [(first, end, reasons[reason]) for first, end, reason in table[: len(ranges)]] == ranges
    assert table[len(ranges) :] == [(0, 0, 0)] * (512 - len(ranges))
