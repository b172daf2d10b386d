"""Exact counts of known file operations, by owner."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.support import closed_ledger, group, scrape, wait

PRIME = 23
READS = 1_000_000

_libc = ctypes.CDLL(None, use_errno=True)


def _forms(source: int, target: int) -> dict[str, list[Callable[[], object]]]:
    buffer = bytearray(8)
    return {
        "read": [
            lambda: os.read(source, 1),
            lambda: os.pread(source, 1, 0),
            lambda: os.readv(source, [buffer]),
            lambda: os.preadv(source, [buffer], 0),
            lambda: os.preadv(source, [buffer], 0, os.RWF_HIPRI),
        ],
        "write": [
            lambda: os.write(target, b"x"),
            lambda: os.pwrite(target, b"x", 0),
            lambda: os.writev(target, [b"x", b"y"]),
            lambda: os.pwritev(target, [b"x"], 0),
            lambda: os.pwritev(target, [b"x"], 0, os.RWF_HIPRI),
        ],
        "fsync": [lambda: os.fsync(target), lambda: os.fdatasync(target)],
        "sync_range": [lambda: _libc.sync_file_range(target, ctypes.c_long(0), ctypes.c_long(0), 2)],
        "copy": [lambda: os.copy_file_range(source, target, 16, 0, 0), lambda: os.sendfile(target, source, 0, 16)],
    }


def test_every_form_of_an_operation_is_counted_once(url: str, data_file: Path, tmp_path: Path) -> None:
    """A prime number of calls of every system call of the family gives exactly that many operations of its owner."""
    target = tmp_path / "target"
    source_fd, target_fd = os.open(data_file, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT)
    forms = _forms(source_fd, target_fd)

    def work() -> None:
        for calls in forms.values():
            for call in calls:
                for _ in range(PRIME):
                    call()

    with group("forms") as own:
        wait(own.run(work))
        page = closed_ledger(url)

    assert {name: PRIME * len(calls) for name, calls in forms.items()} == {name: page.count(own.unit, name) for name in forms}


def test_two_million_reads_under_scrapes_are_exact(url: str, data_file: Path) -> None:
    """Two processes that read a million times each add exactly two million to their owner, while scrapes run every 100 ms."""
    fd = os.open(data_file, os.O_RDONLY)
    done = threading.Event()

    def work() -> None:
        for _ in range(READS):
            os.pread(fd, 1, 0)

    def scrapes() -> None:
        while not done.wait(0.1):
            scrape(url)

    scraper = threading.Thread(target=scrapes)
    with group("reads") as own:
        pids = own.run(work), own.run(work)
        scraper.start()
        wait(*pids)
        done.set()
        scraper.join()
        page = closed_ledger(url)

    assert page.count(own.unit, "read") == 2 * READS
    assert page.total("perflens_file_operation_duration_seconds_bucket", unit=own.unit, operation="read", le="+Inf") == 2 * READS


def test_the_sum_lies_between_the_clock_of_the_caller_and_nothing(url: str, data_file: Path) -> None:
    """The time of an owner's operations is above zero and not above what the process itself measured around them."""
    fd = os.open(data_file, os.O_RDONLY)
    told, tell = os.pipe()

    def work() -> None:
        began = time.monotonic_ns()
        for _ in range(1009):
            os.pread(fd, 4096, 0)
        os.write(tell, str(time.monotonic_ns() - began).encode())

    with group("sum") as own:
        wait(own.run(work))
        page = closed_ledger(url)
    measured = int(os.read(told, 64))

    total = page.total("perflens_file_operation_duration_seconds_sum", unit=own.unit, operation="read") * 10**9
    assert 1009 * 20 < total < measured


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[str]:
    """A loop device over a small file."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def test_a_block_device_is_storage(url: str, block_device: str) -> None:
    """Reads of a block device are operations on fs bdev."""
    fd = os.open(block_device, os.O_RDONLY)

    def work() -> None:
        for _ in range(PRIME):
            os.pread(fd, 512, 0)

    with group("device") as own:
        wait(own.run(work))
        page = closed_ledger(url)
    os.close(fd)

    assert page.count(own.unit, "read", fs="bdev") == PRIME


def test_a_failing_call_is_counted_where_it_belongs(url: str, data_file: Path) -> None:
    """A call on a bad descriptor is filtered, one that fails on a file is an operation like any other."""
    fd = os.open(data_file, os.O_RDONLY)

    def work() -> None:
        for _ in range(PRIME):
            for call in (lambda: os.pread(9999, 1, 0), lambda: os.pwrite(fd, b"x", 0)):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    call()

    before = closed_ledger(url)
    with group("failing") as own:
        wait(own.run(work))
        page = closed_ledger(url)

    assert page.outcome("filtered") - before.outcome("filtered") >= PRIME
    assert page.count(own.unit, "write") == PRIME


COMPAT = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long call(long number, long first, long second, long third)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

int main(int argc, char **argv)
{
	char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0), c;
	int fd = open(argv[1], O_RDWR), group = open(argv[2], O_WRONLY);

	if (write(group, "0", 1) != 1) /* join; counted for the group that is left or joined, so done before the known calls */
		return 2;
	for (int i = 0; i < 23; i++) {
		if (call(3, fd, (long)low, 1) != 1 || call(4, fd, (long)low, 1) != 1)
			return 3;
	}
	return call(118, fd, 0, 0) ? 4 : 0;
}
"""


def test_system_calls_of_32_bit_programs_are_told_by_their_own_numbers(url: str, data_file: Path, tmp_path: Path) -> None:
    """read is 3 and write 4 for a 32-bit caller, while the same numbers are other calls for a 64-bit one."""
    if os.uname().machine != "x86_64":
        pytest.skip("int 0x80 is of x86")
    source, program = tmp_path / "compat.c", tmp_path / "compat"
    source.write_text(COMPAT)
    subprocess.run(["cc", "-O1", "-o", program, source], check=True)
    with group("compat") as own:
        done = subprocess.run([program, data_file, own.folder / "cgroup.procs"], check=False)
        page = closed_ledger(url)
    if done.returncode == -11:
        pytest.skip("this kernel runs no 32-bit system calls")

    assert done.returncode == 0
    assert tuple(page.count(own.unit, name) for name in ("read", "write", "fsync")) == (PRIME, PRIME, 1)


def test_a_moved_process_is_counted_for_each_group_it_was_in(url: str, data_file: Path) -> None:
    """Operations belong to the cgroup that the process was in when they began."""
    fd = os.open(data_file, os.O_RDONLY)
    with group("first") as first, group("second") as second:
        procs = str(second.folder / "cgroup.procs")

        def work() -> None:
            for _ in range(PRIME):
                os.pread(fd, 1, 0)
            with open(procs, "w") as file:
                file.write("0")
            for _ in range(2 * PRIME):
                os.pread(fd, 1, 0)

        wait(first.run(work))
        page = closed_ledger(url)

    assert (page.count(first.unit, "read"), page.count(second.unit, "read")) == (PRIME, 2 * PRIME)
