"""What waits for a peer is no slow I/O, and costs no slot."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.kernel.support import closed_ledger, group, scrape, wait

SECONDS = [5, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.components])]
THREADS = 20_000
CALLS = 13  # a pipe holds 16 pages


def _blocking_reads(folder: Path) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Reads that block, five of each kind, each with what ends it."""
    for number in range(5):
        fifo = folder / f"fifo{number}"
        os.mkfifo(fifo)
        end = os.open(fifo, os.O_RDWR)
        yield partial(os.read, end, 1), partial(os.write, end, b"x")
    for _ in range(5):
        master, terminal = pty.openpty()
        yield partial(os.read, terminal, 1), partial(os.write, master, b"x\n")
    for _ in range(5):
        near, far = (end.detach() for end in socket.socketpair())
        yield partial(os.read, near, 1), partial(os.write, far, b"x")
    for _ in range(5):
        event = os.eventfd(0)
        yield partial(os.read, event, 8), partial(os.write, event, (1).to_bytes(8, "little"))


@pytest.mark.parametrize("seconds", SECONDS)
def test_blocked_readers_are_peers_and_not_slow(url: str, tmp_path: Path, seconds: float) -> None:
    """Twenty readers blocked on FIFOs, terminals, sockets and eventfds are counted as blocking_peer, none as slow."""
    reads = list(_blocking_reads(tmp_path))
    before = closed_ledger(url)

    def work() -> None:
        threads = [threading.Thread(target=read) for read, _ in reads]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        for _, end in reads:
            end()
        for thread in threads:
            thread.join()

    with group("peers") as own:
        pid = own.run(work)
        time.sleep(2)
        during = scrape(url)
        wait(pid)
        after = closed_ledger(url)

    assert len(reads) == 20
    assert after.slow(own.unit, "read") == after.count(own.unit, "read") == 0
    assert during.outcome("blocking_peer") - before.outcome("blocking_peer") >= 20
    assert after.outcome("blocking_peer") - before.outcome("blocking_peer") >= 40


BLOCKED = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void *block(void *argument)
{
	char c;

	return read(ends[0], &c, 1) < 0 ? argument : NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t thread;
	int wanted = atoi(argv[1]), made = 0;

	if (pipe(ends) || pthread_attr_init(&small) || pthread_attr_setstacksize(&small, 16384))
		return 1;
	while (made < wanted && !pthread_create(&thread, &small, block, NULL))
		made++;
	printf("%d\n", made);
	fflush(stdout);
	return read(0, &made, 1) < 0;
}
"""


def test_threads_blocked_on_a_pipe_cost_no_slot(url: str, tmp_path: Path) -> None:
    """While 20,000 threads block in read, no operation is in flight, and each of them is one blocking_peer."""
    source, program = tmp_path / "blocked.c", tmp_path / "blocked"
    source.write_text(BLOCKED)
    subprocess.run(["cc", "-O1", "-pthread", "-o", program, source], check=True)
    before = closed_ledger(url)
    with subprocess.Popen([program, str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        made = int(process.stdout.readline())
        time.sleep(1)
        during = scrape(url)
        process.kill()
    if made < THREADS:
        pytest.skip(f"this host allows {made} threads only")

    assert during.outcome("blocking_peer") - before.outcome("blocking_peer") >= THREADS
    assert during.total("perflens_probe_operations_in_flight", probe="file") <= 5


@contextmanager
def _tracefs(folder: Path) -> Iterator[Path]:
    point = Path("/sys/kernel/tracing")
    if (point / "trace_pipe").exists():
        yield point
        return
    point = folder / "tracing"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tracefs", "tracefs", point], capture_output=True, check=False).returncode:
        pytest.skip("tracefs cannot be mounted")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)


def _read_until_alarm(path: Path) -> Callable[[], None]:
    def work() -> None:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        fd = os.open(path, os.O_RDONLY)
        while True:
            with suppress(BrokenPipeError):
                os.read(fd, 8192)

    return work


def test_pseudo_files_that_block_are_no_slow_operations(url: str, tmp_path: Path) -> None:
    """Reads that wait in trace_pipe and /proc/kmsg are peers."""
    with group("pseudo") as own, _tracefs(tmp_path) as tracing:
        wait(own.run(_read_until_alarm(tracing / "trace_pipe")), own.run(_read_until_alarm(Path("/proc/kmsg"))))
        page = closed_ledger(url)

    assert page.slow(own.unit, "read") == page.count(own.unit, "read") == 0


def test_a_copy_to_a_slow_socket_is_no_slow_operation(url: str, tmp_path: Path) -> None:
    """sendfile that waits for the reader of a socket is a peer's time, not storage's."""
    file = tmp_path / "large"
    file.write_bytes(bytes(4 << 20))
    near, far = (end.detach() for end in socket.socketpair())

    def work() -> None:
        fd = os.open(file, os.O_RDONLY)
        sent = 0
        while sent < 4 << 20:
            sent += os.sendfile(near, fd, sent, (4 << 20) - sent)

    before = closed_ledger(url)
    with group("socket") as own:
        pid = own.run(work)
        time.sleep(0.3)
        left = 4 << 20
        while left:
            left -= len(os.read(far, 1 << 16))
        wait(pid)
        page = closed_ledger(url)

    assert page.slow(own.unit, "copy") == page.count(own.unit, "copy") == 0
    assert page.outcome("blocking_peer") > before.outcome("blocking_peer")


def test_splice_between_a_file_and_a_pipe_is_a_peer(url: str, data_file: Path) -> None:
    """splice has a pipe at one end, so it is never slow I/O."""
    source = os.open(data_file, os.O_RDONLY)
    read_end, write_end = os.pipe()
    before = closed_ledger(url)

    def work() -> None:
        for _ in range(CALLS):
            os.splice(source, write_end, 16, offset_src=0)

    with group("splice") as own:
        wait(own.run(work))
        page = closed_ledger(url)
    os.close(read_end)

    assert page.count(own.unit, "copy") == 0
    assert page.outcome("blocking_peer") - before.outcome("blocking_peer") >= CALLS
