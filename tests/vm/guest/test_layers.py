"""The time of a device that is stacked on a disk is the layer's, with what it takes below."""

from __future__ import annotations

from tests.kernel.disks import counted, direct
from tests.kernel.support import Page, closed_ledger, group, wait
from tests.vm.guest.disks import layer

REQUESTS, SECONDS = 5, 0.2


def layered(page: Page, device: str, form: str, unit: str) -> float:
    """What is told of the layer."""
    return float(page.total(f"perflens_block_layer_duration_seconds_{form}", device=device, unit=unit))


def test_a_slow_layer_is_seen(url: str, disk: str) -> None:
    with layer(disk, "slow", "delay", f" {int(SECONDS * 1e3)}") as top, group("delayed") as own:
        wait(own.run(lambda: direct(top, "write", REQUESTS, 1)))
        page = closed_ledger(url)
        assert layered(page, top, "count", own.unit) == REQUESTS
        assert layered(page, top, "sum", own.unit) >= REQUESTS * SECONDS
        assert counted(page, disk, "write", unit=own.unit).requests == REQUESTS
        device = page.total("perflens_block_device_duration_seconds_sum", device=disk, operation="write", unit=own.unit)
        assert float(device) < REQUESTS * SECONDS / 2
