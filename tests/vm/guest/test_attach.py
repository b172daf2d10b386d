"""What attaches beside the rungs (test_rungs.py), and an agent with all families serves its page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.errors import ProbeError
from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.registry import discover
from tests.kernel.support import OPERATIONS, closed_ledger
from tests.vm.guest.disks import NATIVE
from tests.vm.guest.ladder import is_refused

HELD = ("block_held_fexit", "block_held_before_fexit")


def test_held_back_bios_are_seen_by_function() -> None:
    """Debian's kernels can trace functions, so the exact way of telling what a limit holds back must be the one that attaches."""
    probe, host = discover()["block"], inspect()
    traced = tuple(replace(rung, either=()) for rung in probe.rungs)
    needed = [replace(rung, programs=(*rung.programs, name)) for rung in traced for name in HELD]
    errors = []
    for rung in needed:
        try:
            attach("block", replace(probe, rungs=(rung,)), host, rung="auto", sizes=Sizes.of(host, 256), thresholds=[1 << 40] * 5).close()
            return
        except ProbeError as error:
            errors.append(error.reason)
    if NATIVE and any(map(is_refused, errors)):  # the other is not in this kernel
        pytest.skip("refused: EPERM")
    pytest.fail("; ".join(errors))


def test_page(url: str) -> None:
    page = closed_ledger(url)
    assert {name: int(page.total("perflens_probe_attached", probe=name)) for name in discover()} == dict.fromkeys(discover(), 1)
    assert page.total(f"{OPERATIONS}_count") > 0
