"""What a slow operation waited for: each kind of wait, made on purpose, is the reason for most of the time that it was asleep."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.faults import Delays, Disk, accounted, mounted, slow_disk, slow_file_system, uncached
from tests.kernel.slow import Event, wait_for_events
from tests.kernel.support import group, wait

DELAY = 0.04  # of each request to the disk
SHARE = 0.8
BLOCK = 64 * 1024
WITHOUT_STACK = {"lock", "freeze"}  # told by their tracepoints


@dataclass(frozen=True)
class Place:
    """A file system of its own on a slow disk, and a file in it that is not in the page cache."""

    disk: Disk
    folder: Path
    file: Path

    @contextmanager
    def slow(self) -> Iterator[None]:
        """The disk is slow meanwhile."""
        self.disk.delays.set(DELAY, DELAY, DELAY)
        try:
            yield
        finally:
            self.disk.delays.set()


@contextmanager
def _place(folder: Path, kind: str) -> Iterator[Place]:
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"needs mkfs.{kind}")
    with slow_disk(folder) as disk, mounted(disk.device, kind, folder / "mounted") as point:
        yield Place(disk, point, uncached(point / "file", 4 << 20))


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An ext4 with a journal."""
    with _place(tmp_path_factory.mktemp("ext4"), "ext4") as found:
        yield found


@contextmanager
def _opened(path: Path, flags: int = os.O_RDWR) -> Iterator[int]:
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _events(url: str, work: Callable[[], object], number: int, **query: Any) -> list[Event]:
    """The slow operations of a process that does this: as many as there must be, each accounted for to the ns."""
    with group("waits") as own:
        pid = own.run(work)
        wait(pid)
        found = wait_for_events(url, number, pid=pid, **query)
    assert [accounted(event) for event in found] == [event["duration_ns"] for event in found]
    return found


def _check(found: list[Event], rung: str, reason: str) -> None:
    """Most of the time asleep was for this reason; without stacks it is not known, unless a tracepoint tells it."""
    blocked: Counter[str] = Counter()
    for event in found:
        blocked.update(event["time"]["blocked_ns"])
    expected = reason if rung == "tp_btf" or reason in WITHOUT_STACK else "unclassified"
    assert blocked[expected] >= SHARE * blocked.total(), (blocked, [event["kernel_stack"] for event in found])
    if rung == "raw_tp":
        assert set(blocked) <= {"unclassified"} | WITHOUT_STACK


def test_a_cold_read_waits_for_the_disk(url: str, rung: str, ext4: Place) -> None:
    """A read through the page cache sleeps until its page is there."""
    with _opened(ext4.file) as fd, ext4.slow():
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        _check(_events(url, lambda: os.pread(fd, 4096, 0), 1, operation="read"), rung, "block_io")


@pytest.mark.parametrize("operation", ["read", "write"])
def test_direct_input_and_output_wait_for_the_disk(url: str, rung: str, ext4: Place, operation: str) -> None:
    """So does one past the page cache."""
    memory, call = mmap.mmap(-1, BLOCK), {"read": os.preadv, "write": os.pwritev}[operation]
    with _opened(ext4.file, os.O_RDWR | os.O_DIRECT) as fd, ext4.slow():
        _check(_events(url, lambda: call(fd, [memory], 0), 1, operation=operation), rung, "block_io")


def test_a_read_of_a_device_waits_for_it(url: str, rung: str, ext4: Place) -> None:
    """A block device is a file too."""
    memory = mmap.mmap(-1, BLOCK)
    with _opened(ext4.disk.device, os.O_RDONLY | os.O_DIRECT) as fd:
        os.fsync(fd)  # else it writes first what the file system has left in the device's own pages
        with ext4.slow():
            found = _events(url, lambda: os.preadv(fd, [memory], 0), 1, operation="read")
    _check(found, rung, "block_io")


def test_written_data_waits_for_writeback(url: str, rung: str, ext4: Place) -> None:
    """sync_file_range sleeps until the pages that it wrote are on the disk, and for no journal."""
    range_of = ctypes.CDLL(None).sync_file_range
    with _opened(ext4.file) as fd:
        os.pwrite(fd, bytes(BLOCK), 0)
        with ext4.slow():
            found = _events(url, lambda: range_of(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7), 1, operation="sync_range")
    _check(found, rung, "writeback")


def test_fdatasync_waits_for_writeback_and_the_flush(url: str, rung: str, ext4: Place) -> None:
    """Without new blocks or times to record there is data to write and the disk's cache to flush, half of the time each."""
    with _opened(ext4.file) as fd:
        os.fsync(fd)
        os.pwrite(fd, bytes(4096), 0)
        os.fsync(fd)
        os.utime(fd, (2**31, 2**31))
        os.fsync(fd)

        def work() -> None:
            os.pwrite(fd, bytes(4096), 0)
            os.fdatasync(fd)

        with ext4.slow():
            (event,) = _events(url, work, 1, operation="fsync")
    blocked = event["time"]["blocked_ns"]
    if rung == "raw_tp":
        assert set(blocked) == {"unclassified"}
        return
    assert set(blocked) - {"unclassified"} == {"writeback", "flush"}
    assert all(blocked[reason] >= DELAY * 0.8e9 for reason in ("writeback", "flush"))


def _sync_of_metadata(fd: int, rounds: int) -> None:
    for number in range(rounds):
        os.fchmod(fd, 0o600 | number % 2)
        os.fsync(fd)


def test_fsync_of_metadata_waits_for_the_journal(url: str, rung: str, ext4: Place) -> None:
    """Without data to write it waits for ext4's journal to commit."""
    with _opened(ext4.file) as fd, ext4.slow():
        _check(_events(url, lambda: _sync_of_metadata(fd, 2), 2, operation="fsync"), rung, "journal")


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_fsync_waits_for_the_log_of_other_file_systems(url: str, rung: str, tmp_path: Path, kind: str) -> None:
    """The log of xfs and the tree log of btrfs are journals too."""
    with _place(tmp_path, kind) as place, _opened(place.file) as fd:
        os.fsync(fd)
        with place.slow():
            _check(_events(url, lambda: _sync_of_metadata(fd, 2), 2, operation="fsync"), rung, "journal")


def test_writers_of_one_file_wait_for_its_lock(url: str, rung: str, ext4: Place) -> None:
    """Of five writers that extend a file past the page cache one holds its lock while it waits for the disk; the others wait for it."""
    memory, writers = mmap.mmap(-1, BLOCK), 5
    with _opened(ext4.folder / f"grows-{rung}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT) as fd:

        def work() -> None:
            threads = [threading.Thread(target=os.pwritev, args=(fd, [memory], number * BLOCK)) for number in range(writers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        with ext4.slow():
            found = _events(url, work, writers, operation="write")
    waited = [event for event in found if event["time"]["blocked_ns"].get("lock")]
    assert len(waited) >= writers - 2  # each waits for those before it, and for the disk itself
    disk = "block_io" if rung == "tp_btf" else "unclassified"
    for event in waited:
        blocked = event["time"]["blocked_ns"]
        assert blocked[disk] >= 0.8 * DELAY * 1e9, event
        queued = blocked.get("tag", 0)  # a request may have to wait until the disk's queue takes it
        assert blocked["lock"] + blocked[disk] + queued >= 0.95 * sum(blocked.values()), event
    locked = sum(event["time"]["blocked_ns"]["lock"] for event in waited)
    assert locked >= SHARE * DELAY * 1e9 * sum(range(1, writers - 1))


def test_a_write_waits_for_a_frozen_file_system(url: str, rung: str, ext4: Place) -> None:
    """While a file system is frozen its writers wait for that."""
    with _opened(ext4.file) as fd:

        def work() -> None:
            subprocess.run(["fsfreeze", "--freeze", ext4.folder], check=True)
            threading.Timer(0.3, lambda: subprocess.run(["fsfreeze", "--unfreeze", ext4.folder], check=True)).start()
            os.pwrite(fd, b"x", 0)

        try:
            found = _events(url, work, 1, operation="write", min_duration="100ms")
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", ext4.folder], check=False, capture_output=True)
    _check(found, rung, "freeze")


def test_a_read_waits_for_a_tag(url: str, rung: str, ext4: Place) -> None:
    """A read that is split into more requests than the disk takes at once waits for a free one."""
    memory, settings = mmap.mmap(-1, 1 << 20), {"nr_requests": "4", "max_sectors_kb": "16"}
    before = {name: (ext4.disk.queue / name).read_text() for name in settings}
    try:
        for name, value in settings.items():
            (ext4.disk.queue / name).write_text(value)
        with _opened(ext4.file, os.O_RDONLY | os.O_DIRECT) as fd:
            ext4.disk.delays.set(read=DELAY / 10)
            found = _events(url, lambda: os.preadv(fd, [memory], 0), 1, operation="read")
    finally:
        ext4.disk.delays.set()
        for name, value in before.items():
            (ext4.disk.queue / name).write_text(value)
    _check(found, rung, "tag")


def test_writers_wait_when_too_much_is_dirty(url: str, rung: str, ext4: Place) -> None:
    """A write into the page cache is held back when its disk has more dirty pages than it may."""
    device = os.stat(ext4.disk.device).st_rdev
    limits = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}")
    if not (limits / "max_bytes").exists():
        pytest.skip("this kernel bounds no disk's dirty pages by bytes (6.2)")

    def work() -> None:
        with _opened(ext4.folder / "dirty", os.O_WRONLY | os.O_CREAT) as fd:
            for _ in range(300):
                os.write(fd, bytes(BLOCK))

    try:
        (limits / "strict_limit").write_text("1")
        (limits / "max_bytes").write_text(str(1 << 20))
        ext4.disk.delays.set(write=DELAY / 4)
        found = _events(url, work, 5, operation="write")
    finally:
        ext4.disk.delays.set()
        (limits / "strict_limit").write_text("0")
        (limits / "max_ratio").write_text("100")
    _check(found, rung, "dirty_throttle")


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[Path, Delays]]:
    """A file whose file system is a program that takes its time."""
    with slow_file_system(tmp_path) as (file, delays):
        delays.set(DELAY, DELAY, DELAY)
        yield file, delays
        delays.set()


def test_a_file_of_a_program_waits_for_it(url: str, rung: str, remote: tuple[Path, Delays]) -> None:
    """Reads, writes and syncs of a FUSE file wait for its server."""

    def work() -> None:
        with _opened(remote[0]) as fd:
            os.pread(fd, 4096, 0)
            os.pwrite(fd, bytes(4096), 0)
            os.fsync(fd)

    found = _events(url, work, 3)
    assert [event["operation"] for event in found] == ["fsync", "write", "read"]
    _check(found, rung, "remote")


def test_a_write_above_the_memory_limit_waits_for_reclaim(url: str, rung: str, ext4: Place) -> None:
    """A group of cgroup v1 that may hold no more pages waits until some are free, which the slow disk has to take."""
    with group("reclaim") as own:
        limit = own.folder / "memory.limit_in_bytes"
        if not limit.exists():
            pytest.skip("needs the memory controller of cgroup v1: with v2 the writer is held back before")
        limit.write_text(str(16 << 20))

        def work() -> None:
            with _opened(ext4.folder / "large", os.O_WRONLY | os.O_CREAT) as fd:
                for _ in range(64):
                    os.write(fd, bytes(1 << 20))

        ext4.disk.delays.set(write=DELAY / 4)
        try:
            pid = own.run(work)
            wait(pid)
            found = wait_for_events(url, 1, pid=pid, operation="write")
        finally:
            ext4.disk.delays.set()
            (ext4.folder / "large").unlink()
    assert [accounted(event) for event in found] == [event["duration_ns"] for event in found]
    _check(found, rung, "reclaim")
