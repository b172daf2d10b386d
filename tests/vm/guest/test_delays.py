"""Known delays: of the disk itself, and of a limit of the cgroup."""

from __future__ import annotations

import mmap
import os

from tests.kernel.disks import BLOCK, Requests, counted
from tests.kernel.support import Page, closed_ledger, group, wait
from tests.vm.guest.disks import Parted, delay, number_of

REQUESTS, SECONDS = 7, 0.5
RATE, LARGE = 1 << 20, 256 << 10  # LARGE takes 250 ms


def seconds(page: Page, part: str, disk: str, **wanted: str) -> float:
    """The sum of a part."""
    return float(page.total(f"perflens_block_{part}_duration_seconds_sum", device=disk, operation="write", **wanted))


def writes(disk: str, number: int, size: int) -> None:
    """So many direct writes, one after the other."""
    fd = os.open(f"/dev/{disk}", os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, size)
    for place in range(number):
        assert os.pwrite(fd, buffer, place * size) == size
    os.close(fd)


def test_a_slow_disk_is_the_devices_time(url: str, slow: Parted) -> None:
    with group("slow") as own, delay(int(SECONDS * 1e9)):
        requests = Requests(url, slow.name)
        wait(own.run(lambda: writes(slow.plain, REQUESTS, BLOCK)))
        requests.settle()
        page = closed_ledger(url)
        device, queue = seconds(page, "device", slow.name, unit=own.unit), seconds(page, "queue", slow.name, unit=own.unit)
    known = REQUESTS * SECONDS
    assert requests.by_agent(own.unit) == requests.by_kernel == (REQUESTS, REQUESTS * BLOCK)
    assert known <= device
    assert device + queue <= known * 1.05


def test_a_limit_of_the_cgroup_holds_back(url: str, slow: Parted) -> None:
    """Each write waits until the limit has room for it: all of them take so long, less one slice of the throttle (100 ms)."""
    with group("limited") as own:
        (own.folder / "io.max").write_text(f"{number_of(slow.name)} wbps={RATE}")
        wait(own.run(lambda: writes(slow.plain, REQUESTS, LARGE)))
        page = closed_ledger(url)
    known = REQUESTS * LARGE / RATE
    held = seconds(page, "held", slow.name, unit=own.unit)
    assert counted(page, slow.name, "write", unit=own.unit).requests == REQUESTS
    assert known * 0.85 <= held <= known * 1.25
    assert seconds(page, "queue", slow.name, unit=own.unit) + seconds(page, "device", slow.name, unit=own.unit) < held / 10
