"""Slow operations as events: their stacks have names, and requests their sizes, places, disks and owners."""

from __future__ import annotations

import mmap
import os
import subprocess
from pathlib import Path

from tests.kernel.disks import BLOCK, SECTOR
from tests.kernel.slow import Event, cold_file, functions, in_group, program, throttled, wait_for_events
from tests.kernel.support import PATIENCE, group, wait
from tests.vm.guest.disks import Parted, delay, number_of

SIZES = (BLOCK, 3 * BLOCK, 16 * BLOCK)
APART = 1 << 20
SECONDS = 0.3
DIRECT_WAIT = {"iomap_dio_rw", "__iomap_dio_rw", "do_blockdev_direct_IO", "__blockdev_direct_IO"}
CALLED = ["inner_step", "outer_step", "main"]
WAITS = 15 * PATIENCE  # s


def slow_read(url: str, own: Path, folder: Path) -> Event:
    """The event of a read that its group's limit holds back, by a program that stays until it is known."""
    with (
        throttled(folder) as limited,
        subprocess.Popen(in_group(limited, own, cold_file(folder), "direct", "stay"), stdin=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        (event,) = wait_for_events(url, 1, seconds=WAITS, pid=process.pid, operation="read", min_duration="100ms")
        process.stdin.close()
        assert process.wait(WAITS) == 0
    assert event["owner"]["unit"] == f"/{limited.name}"
    return event


def test_stacks_are_named(url: str, folder: Path) -> None:
    """A program's own functions, and the kernel's where it slept."""
    own = program(folder / "reads")
    for _ in range(3):  # an agent waits a second for the names, in which an emulated machine may not even start who reads them
        event = slow_read(url, own, folder)
        kernel, user = functions(event["kernel_stack"]), functions(event["user_stack"])
        assert DIRECT_WAIT & set(kernel), kernel
        assert kernel.index("vfs_read") < next(at for at, name in enumerate(kernel) if name.endswith("_sys_pread64"))
        if "main" in user:
            break
    assert {"inner_step", "main"} <= set(user), user
    assert user[user.index("inner_step") : user.index("main") + 1] == CALLED


def test_requests_have_their_sizes_disks_and_owners(url: str, slow: Parted) -> None:
    def work() -> None:
        fd = os.open(f"/dev/{slow.plain}", os.O_RDWR | os.O_DIRECT)
        for number, size in enumerate(SIZES):
            os.pwrite(fd, mmap.mmap(-1, size), number * APART)
            os.preadv(fd, [mmap.mmap(-1, size)], number * APART)

    first = int(Path(f"/sys/class/block/{slow.plain}/start").read_text())
    with group("requests") as own, delay(int(SECONDS * 1e9)):
        pid = own.run(work)
        found = wait_for_events(url, 2 * len(SIZES), seconds=WAITS, probe="block", owner=own.unit)
        wait(pid)
    made = [
        (event["operation"], event["object"], request["device"], request["disk"], request["sector"], request["bytes"], request["error"])
        for event in found[::-1]
        for request in event["requests"]
    ]
    assert made == [
        (operation, slow.name, number_of(slow.name), slow.name, first + number * APART // SECTOR, size, 0)
        for number, size in enumerate(SIZES)
        for operation in ("write", "read")
    ]
    assert {event["process"]["pid"] for event in found} == {pid}
    assert all(event["duration_seconds"] >= SECONDS for event in found)
