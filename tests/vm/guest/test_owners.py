"""Whose a request is where cgroup v2 has the io controller: the writer's, whoever brings its pages to the disk."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kernel.disks import BLOCK, Requests, counted
from tests.kernel.support import Group, Page, closed_ledger, group, remove, wait
from tests.vm.guest.disks import Parted

SIZE = 4 << 20
PATIENCE = 60  # seconds
_DIRTY = ("dirty_writeback_centisecs", "dirty_expire_centisecs")


def dirty(file: Path) -> None:
    """Leave pages that are not written yet."""
    with file.open("wb") as out:
        out.write(os.urandom(SIZE))


def by_method(page: Page, method: str) -> int:
    """Requests whose owner was found so."""
    return int(page.total("perflens_probe_requests_attributed_total", probe="block", method=method))


def written(page: Page, disk: str, own: Group) -> int:
    """Bytes of an owner's writes."""
    return counted(page, disk, "write", unit=own.unit).bytes


def until_written(url: str, disk: str, own: Group) -> Page:
    """The first page on which all of the data belongs to the owner, or the last one."""
    deadline = time.monotonic() + PATIENCE
    while written(page := closed_ledger(url), disk, own) < SIZE and time.monotonic() < deadline:
        time.sleep(0.5)
    return page


@pytest.fixture
def eager_flusher() -> Iterator[None]:
    """The flusher writes what has been dirty for half a second."""
    knobs = [Path("/proc/sys/vm") / name for name in _DIRTY]
    before = [knob.read_text() for knob in knobs]
    for knob in knobs:
        knob.write_text("50")
    yield
    for knob, text in zip(knobs, before, strict=True):
        knob.write_text(text)


def sync(file: Path) -> None:
    """Bring a file's pages to the disk."""
    fd = os.open(file, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_direct_writes_are_the_submitters(url: str, slow: Parted, folder: Path) -> None:
    def work() -> None:
        fd = os.open(folder / "direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        for number in range(101):
            os.pwrite(fd, mmap.mmap(-1, BLOCK), number * BLOCK)

    with group("direct") as own:
        before = closed_ledger(url)
        wait(own.run(work))
        page = closed_ledger(url)
        assert written(page, slow.name, own) == 101 * BLOCK
        assert by_method(page, "submitter") - by_method(before, "submitter") >= 101


@pytest.mark.parametrize("how", [sync, lambda _: os.sync()], ids=["fsync", "sync"])
def test_the_writer_owns_what_another_syncs(url: str, slow: Parted, folder: Path, how: Callable[[Path], None]) -> None:
    file = folder / f"another-{time.monotonic_ns()}"  # the kernel charges a file to the group that wrote it first, for a while
    with group("writer") as writer, group("syncer") as syncer:
        requests = Requests(url, slow.name)
        wait(writer.run(lambda: dirty(file)))
        wait(syncer.run(lambda: how(file)))
        requests.settle()
        assert requests.by_agent(writer.unit)[1] == SIZE
        assert requests.by_agent(syncer.unit)[1] < SIZE // 10  # of the journal, at most
        assert requests.methods["blkcg"] > 0


def test_the_writer_owns_its_own_fsync(url: str, slow: Parted, folder: Path) -> None:
    file = folder / "own"

    def work() -> None:
        dirty(file)
        sync(file)

    with group("fsync") as own:
        before = closed_ledger(url)
        wait(own.run(work))
        page = closed_ledger(url)
        assert written(page, slow.name, own) >= SIZE
        assert by_method(page, "blkcg") > by_method(before, "blkcg")


@pytest.mark.usefixtures("eager_flusher")
def test_the_writer_owns_what_the_flusher_writes(url: str, slow: Parted, folder: Path) -> None:
    with group("flushed") as own:
        before = closed_ledger(url)
        wait(own.run(lambda: dirty(folder / "flushed")))
        page = until_written(url, slow.name, own)
        assert written(page, slow.name, own) == SIZE
        assert by_method(page, "blkcg") > by_method(before, "blkcg")


def test_a_writer_that_moved_left_its_pages_behind(url: str, slow: Parted, folder: Path) -> None:
    file = folder / "moved"
    with group("before") as first, group("after") as second:

        def work() -> None:
            dirty(file)
            (second.folder / "cgroup.procs").write_text("0")
            sync(file)

        wait(first.run(work))
        page = closed_ledger(url)
        assert written(page, slow.name, first) == SIZE
        assert written(page, slow.name, second) < SIZE // 10


def test_pages_of_a_group_that_is_gone(url: str, slow: Parted, folder: Path) -> None:
    """The bio's cgroup is then one above that lives, so the owner is the one that the memory is charged to."""
    file = folder / "gone"
    with group("gone") as own:
        wait(own.run(lambda: dirty(file)))
        with suppress(FileNotFoundError):
            remove(own.folder)
        sync(file)
        page = closed_ledger(url)
        assert written(page, slow.name, own) == SIZE
