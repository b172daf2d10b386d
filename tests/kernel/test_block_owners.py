"""Whose a request is: each rule in turn, with exact requests and bytes, on a disk that nobody else uses."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.disks import BLOCK, Requests, direct, zeroed_loop
from tests.kernel.faults import mounted
from tests.kernel.slow import until
from tests.kernel.support import Group, Page, agent, closed_ledger, group, wait

AT = 64 << 20
BYTES = 4 << 20
FILES = 199
INODE = 256
VM = Path("/proc/sys/vm")


@pytest.fixture(scope="module")
def url(rung: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with agent(tmp_path_factory.mktemp("agent"), f"--probes.block.attach={rung}") as running:
        yield running.url


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A disk that stays open: the last close of a device writes back."""
    with zeroed_loop(tmp_path) as disk:
        holder = os.open(f"/dev/{disk}", os.O_RDONLY)
        try:
            yield disk
        finally:
            os.close(holder)


@pytest.fixture
def writes(url: str, loop: str) -> Requests:
    """The writes of the disk from the beginning of the test."""
    return Requests(url, loop)


@pytest.fixture
def writer() -> Iterator[Group]:
    with group("writer") as own:
        yield own


@pytest.fixture
def other() -> Iterator[Group]:
    """Who has to do with it, and is not the owner unless the test says so."""
    with group("other") as own:
        yield own


def join(own: Group) -> None:
    """Move the current process into a group."""
    (own.folder / "cgroup.procs").write_text("0")


def dirty(disk: str, then: Callable[[int], object] = lambda _: None) -> None:
    """Write into the page cache of a disk, then do something with the descriptor."""
    fd = os.open(f"/dev/{disk}", os.O_RDWR)
    assert os.pwrite(fd, bytes(BYTES), AT) == BYTES
    then(fd)
    os.close(fd)


def fsync_of(disk: str) -> None:
    fd = os.open(f"/dev/{disk}", os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def all_are_of(owner: Group, writes: Requests, size: int, method: str, syncer: Group | None = None) -> None:
    """Every request of the disk is one owner's, whom this method found; but for the empty one of an fsync, which asks for a flush."""
    writes.settle()
    requests, written = writes.by_kernel
    assert written == size
    if syncer:
        requests -= 1
        assert writes.by_agent(syncer.unit) == (1, 0)
    assert writes.by_agent(owner.unit) == (requests, written)
    assert writes.methods[method] >= requests


def test_direct_writes(loop: str, writes: Requests, writer: Group) -> None:
    wait(writer.run(lambda: direct(loop, "write", 101, 1)))
    all_are_of(writer, writes, 101 * BLOCK, "submitter")


def test_own_fsync(loop: str, writes: Requests, writer: Group) -> None:
    wait(writer.run(lambda: dirty(loop, os.fsync)))
    all_are_of(writer, writes, BYTES, "memcg")


def test_a_sync_of_another(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    wait(writer.run(lambda: dirty(loop)))
    wait(other.run(os.sync))
    all_are_of(writer, writes, BYTES, "memcg")


def test_an_fsync_of_another(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    wait(writer.run(lambda: dirty(loop)))
    wait(other.run(lambda: fsync_of(loop)))
    all_are_of(writer, writes, BYTES, "memcg", syncer=other)


@contextmanager
def eager_flusher() -> Iterator[None]:
    """Let the kernel write back what has been dirty for 0.2 s."""
    knobs = {VM / "dirty_expire_centisecs": "20", VM / "dirty_writeback_centisecs": "10"}
    before = {knob: knob.read_text() for knob in knobs}
    try:
        for knob, text in knobs.items():
            knob.write_text(text)
        yield
    finally:
        for knob, text in before.items():
            knob.write_text(text)


def test_the_flusher(loop: str, writes: Requests, writer: Group) -> None:
    """Nobody asked for it: the kernel found the pages old."""
    with eager_flusher():
        wait(writer.run(lambda: dirty(loop)))
        deadline = time.monotonic() + 30
        while writes.by_kernel[1] < BYTES:
            assert time.monotonic() < deadline, "the flusher does not write"
            time.sleep(0.05)
    all_are_of(writer, writes, BYTES, "memcg")


def test_two_writers_and_one_sync(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    """Each has the pages that it dirtied, though one request after the other is of the same sync."""

    def half(at: int) -> None:
        fd = os.open(f"/dev/{loop}", os.O_RDWR)
        os.pwrite(fd, bytes(BYTES), at)
        os.close(fd)

    wait(writer.run(lambda: half(0)), other.run(lambda: half(AT)))
    os.sync()
    writes.settle()
    assert (writes.by_agent(writer.unit)[1], writes.by_agent(other.unit)[1], writes.by_kernel[1]) == (BYTES, BYTES, 2 * BYTES)


def test_a_buffer_that_is_shared(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    """Past the page cache the submitter is the owner, whoever the memory is charged to."""
    buffer = mmap.mmap(-1, 1 << 20)  # MAP_SHARED

    def submit() -> None:
        fd = os.open(f"/dev/{loop}", os.O_RDWR | os.O_DIRECT)
        assert os.pwritev(fd, [buffer], AT) == len(buffer)
        os.close(fd)

    wait(other.run(lambda: buffer.write(bytes(len(buffer)))))
    wait(writer.run(submit))
    all_are_of(writer, writes, len(buffer), "submitter")


def mapped(disk: str, at: int, flush: bool) -> None:
    """Write every page of 1 MiB of a disk through a mapping, without readahead, which would take pages for the reader."""
    fd = os.open(f"/dev/{disk}", os.O_RDWR)
    memory = mmap.mmap(fd, 1 << 20, offset=at)
    memory.madvise(mmap.MADV_RANDOM)
    for page in range(0, 1 << 20, BLOCK):
        memory[page] = 1
    if flush:
        memory.flush()
    memory.close()
    os.close(fd)


def test_a_mapping(loop: str, writes: Requests, writer: Group) -> None:
    wait(writer.run(lambda: mapped(loop, AT, flush=True)))
    all_are_of(writer, writes, 1 << 20, "memcg")


def test_a_mapping_that_is_shared(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    """Pages belong to who touched them first, though another one writes them too, and has them written back."""
    wait(writer.run(lambda: mapped(loop, AT, flush=False)))
    wait(other.run(lambda: mapped(loop, AT, flush=True)))
    all_are_of(writer, writes, 1 << 20, "memcg", syncer=other)


def test_a_child_in_a_group_of_its_own(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    """The child is the owner, not the parent that forked it."""

    def fork() -> None:
        pid = os.fork()
        if not pid:
            try:
                join(writer)
                dirty(loop, os.fsync)
                os._exit(0)
            finally:
                os._exit(1)
        wait(pid)

    wait(other.run(fork))
    all_are_of(writer, writes, BYTES, "memcg")


def test_a_process_that_is_moved(loop: str, writes: Requests, writer: Group, other: Group) -> None:
    """What it had dirtied before stays with the group in which it did so; what it submits afterwards is the new group's."""

    def move_and_go_on(fd: int) -> None:
        join(other)
        os.fsync(fd)
        direct(loop, "write", 11, 1)

    wait(writer.run(lambda: dirty(loop, move_and_go_on)))
    writes.settle()
    requests, written = writes.by_kernel
    assert writes.by_agent(other.unit) == (1 + 11, 11 * BLOCK)
    assert writes.by_agent(writer.unit) == (requests - 12, BYTES)
    assert written == BYTES + 11 * BLOCK


def test_a_group_that_is_gone(loop: str, writes: Requests, other: Group) -> None:
    """Its pages are still its own: it keeps its last name."""
    with group("gone") as gone:
        wait(gone.run(lambda: dirty(loop)))
        gone.folder.rmdir()
        wait(other.run(os.sync))
        all_are_of(gone, writes, BYTES, "memcg")


@pytest.fixture
def file_system(tmp_path: Path, url: str) -> Iterator[tuple[str, Path]]:
    """A disk with a file system that has a journal, and its mount point; nothing of its files is in memory."""
    with zeroed_loop(tmp_path) as disk, mounted(Path("/dev") / disk, "ext4", tmp_path / "mounted", "-O", "has_journal") as point:
        (point / "data").write_bytes(bytes(BYTES))
        for number in range(FILES):
            (point / str(number)).touch()
        os.sync()
        (VM / "drop_caches").write_text("3")
        yield disk, point


def test_a_journal(url: str, file_system: tuple[str, Path], writer: Group, other: Group) -> None:
    """The data are the writer's; journal and metadata are nobody's, above all not of who mounted it or happened to read them first."""
    disk, point = file_system

    def look() -> None:
        for number in range(FILES):
            (point / str(number)).stat()

    def write() -> None:
        for number in range(FILES):
            os.utime(point / str(number))
        fd = os.open(point / "data", os.O_RDWR)
        os.pwrite(fd, bytes(BYTES), 0)
        os.fsync(fd)
        os.close(fd)

    wait(other.run(look))
    writes = Requests(url, disk)
    wait(writer.run(write))
    wait(other.run(os.sync))
    writes.settle()
    requests, size = writes.by_agent("unknown")
    assert writes.by_agent(writer.unit)[1] == BYTES
    assert writes.by_agent(other.unit)[1] == 0  # it asked for a flush
    assert size == writes.by_kernel[1] - BYTES
    assert size >= 2 * FILES * INODE  # in the journal, and at their place
    assert writes.methods["unknown"] >= requests


def unattributed(page: Page) -> int:
    """Requests that began and were not turned away, without those whose owner a method found."""
    began = page.total("perflens_probe_operations_entered_total", probe="block")
    turned_away = sum(page.total("perflens_probe_operations_total", probe="block", outcome=outcome) for outcome in ("filtered", "no_slot"))
    return int(began - turned_away - page.total("perflens_probe_requests_attributed_total", probe="block"))


def test_each_request_has_one_method(url: str, loop: str, writer: Group) -> None:
    """The counters are read one after the other: on a busy host they agree in the moments between two requests, on any if none is lost."""
    wait(writer.run(lambda: direct(loop, "write", 101, 8)))
    until(lambda: unattributed(closed_ledger(url)) == 0)
