"""Operations that hang: seen while they do, by their age and as events with a stack, and gone when they have ended."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.slow import (
    Event,
    api,
    cold_file,
    events,
    functions,
    in_group,
    program,
    python_in_group,
    release,
    throttled,
    until,
    wait_for_events,
)
from tests.kernel.support import closed_ledger, scrape
from tests.throttle import BLOCK

OLDEST = "perflens_oldest_in_flight_seconds"
READS = 8


def _oldest(url: str, unit: str, operation: str) -> float:
    return float(scrape(url).total(OLDEST, probe="file", unit=unit, operation=operation))


def _hanging(url: str, unit: str, operation: str) -> Event:
    """The event of an operation in progress, and that its age grows while it hangs."""
    (event,) = wait_for_events(url, 1, in_progress=True, owner=unit, operation=operation)
    first = _oldest(url, unit, operation)
    began = time.monotonic()
    time.sleep(1)
    second = _oldest(url, unit, operation)
    took = time.monotonic() - began

    assert 1 <= second - first <= took + 0.5
    assert event["in_progress"] is True
    assert event["result"] is None
    assert event["duration_ns"] >= 10**9
    assert (
        sum((*event["time"]["blocked_ns"].values(), *(event["time"][f"{part}_ns"] for part in ("on_cpu", "runqueue", "unattributed"))))
        == (event["duration_ns"])
    )
    return event


def _ended(url: str, hung: Event) -> Event:
    """The event of the same operation once it has ended; nothing of it is left in progress."""
    unit, operation = hung["owner"]["unit"], hung["operation"]
    (event,) = wait_for_events(url, 1, lambda event: bool(event["id"] == hung["id"]), owner=unit, operation=operation)
    until(lambda: not events(url, in_progress=True, owner=unit, operation=operation))

    assert _oldest(url, unit, operation) == 0
    assert event["in_progress"] is False
    assert event["duration_ns"] > hung["duration_ns"]
    assert event["process"] == hung["process"]
    return event


SYNC = """
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
os.write(fd, bytes(1 << 21))
os.fsync(fd)
"""


def test_an_fsync_on_a_throttled_disk(url: str, tmp_path: Path) -> None:
    """An fsync whose dirty pages the disk takes slowly is in progress until it is through."""
    with throttled(tmp_path, writes=64 << 10) as group:
        with subprocess.Popen(python_in_group(group, SYNC, tmp_path / "dirty")) as process:
            event = _hanging(url, f"/{group.name}", "fsync")
            release(group)
            assert process.wait(20) == 0
        ended = _ended(url, event)
        closed_ledger(url)

    assert [name for name in functions(event["kernel_stack"]) if "fsync" in name or "writeback" in name or "fdata" in name]
    assert event["process"]["pid"] == process.pid
    assert event["file"] == ended["file"]
    assert event["file"]["path"] == str(tmp_path / "dirty")
    assert ended["result"] == 0


@contextmanager
def _mounted(folder: Path, kind: str) -> Iterator[Path]:
    """A file system of a kind in an image file."""
    if not shutil.which(f"mkfs.{kind}") or not shutil.which("fsfreeze"):
        pytest.skip(f"needs mkfs.{kind} and fsfreeze")
    image, point = folder / "image", folder / "mounted"
    with image.open("wb") as file:
        file.truncate(400 << 20)
    point.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, point], check=False, capture_output=True).returncode:
        pytest.skip(f"{kind} in a loop device cannot be mounted")
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        image.unlink()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_write_on_a_frozen_file_system(url: str, tmp_path: Path, kind: str) -> None:
    """A write that waits for its file system to thaw says that it waits in the freeze, on which file system and whose it is."""
    write = "fd = os.open(sys.argv[1], os.O_WRONLY); print(flush=True); input(); os.write(fd, b'x' * 5)"
    with _mounted(tmp_path, kind) as point, throttled(tmp_path) as group:
        (point / "file").write_bytes(b"x")
        command = python_in_group(group, write, point / "file")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            subprocess.run(["fsfreeze", "--freeze", point], check=True)
            try:
                process.stdin.write(b"\n")
                process.stdin.flush()
                event = _hanging(url, f"/{group.name}", "write")
            finally:
                subprocess.run(["fsfreeze", "--unfreeze", point], check=True)
            assert process.wait(20) == 0
        ended = _ended(url, event)
        closed_ledger(url)

    assert "percpu_rwsem_wait" in functions(event["kernel_stack"])
    assert event["object"] == kind
    assert event["file"]["path"] == str(point / "file")
    assert event["process_name"] == Path(sys.executable).name
    assert event["time"]["blocked_ns"]["freeze"] == max(event["time"]["blocked_ns"].values())
    assert ended["result"] == 5


def test_a_read_that_is_killed(url: str, tmp_path: Path) -> None:
    """A process that is killed in the middle of a read leaves an ended event of its own, and nothing in progress."""
    with throttled(tmp_path, reads=16 << 10) as group:
        own, file = program(tmp_path / "killed"), cold_file(tmp_path)
        with subprocess.Popen(in_group(group, own, file)) as process:
            event = _hanging(url, f"/{group.name}", "read")
            process.kill()
            assert process.wait(20) == -signal.SIGKILL
        release(group)
        ended = _ended(url, event)
        page = closed_ledger(url)

    assert event["process"]["pid"] == process.pid
    assert event["comm"] == ended["comm"] == "killed"
    assert ended["result"] < 1 << 18
    assert page.slow(f"/{group.name}", "read") >= 1


THREADS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int ends[2];
static char memory[1 << 18] __attribute__((aligned(4096)));

static void *block(void *argument)
{
	char c;

	if (read(ends[0], &c, 1) < 0)
		return argument;
	return NULL;
}

static void *hang(void *file)
{
	int fd = open(file, O_RDONLY | O_DIRECT);
	char c;

	prctl(PR_SET_NAME, "in the middle");
	printf("%d\n", gettid());
	fflush(stdout);
	if (read(0, &c, 1) != 1 || pread(fd, memory, sizeof(memory), 0) != sizeof(memory))
		exit(1);
	exit(0);
}

int main(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t thread;
	int wanted = atoi(argv[1]), made = 0;

	if (pipe(ends) || pthread_attr_init(&small) || pthread_attr_setstacksize(&small, 16384))
		return 1;
	while (made < wanted && !pthread_create(&thread, &small, made == wanted / 2 ? hang : block, argv[2]))
		made++;
	printf("%d\n", made);
	fflush(stdout);
	pause();
}
"""


def test_one_thread_among_twenty_thousand(url: str, tmp_path: Path) -> None:
    """A thread in the middle of 20,000 others is found with its own name and stack."""
    own, file, wanted = program(tmp_path / "many", THREADS, "-pthread"), cold_file(tmp_path), 20_000
    with throttled(tmp_path, reads=32 << 10) as group:
        command = in_group(group, own, str(wanted), file)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(2)]
            if wanted not in told:
                process.kill()
                pytest.skip(f"this host allows {told[-1]} threads only")
            process.stdin.write(b"\n")
            process.stdin.flush()
            event = _hanging(url, f"/{group.name}", "read")
            release(group)
            assert process.wait(20) == 0
        _ended(url, event)
        closed_ledger(url)

    told.remove(wanted)
    assert [event["tid"], event["process"]["pid"]] == [*told, process.pid]
    assert event["tid"] != process.pid
    assert (event["comm"], event["process_name"]) == ("in the middle", "many")
    assert [name for name in functions(event["kernel_stack"]) if name.endswith(("iomap_dio_rw", "blockdev_direct_IO"))]


def _terminal() -> tuple[int, int]:
    master, terminal = pty.openpty()
    return terminal, master


def _sockets() -> tuple[int, int]:
    near, far = socket.socketpair()
    return near.detach(), far.detach()


@contextmanager
def _idle_readers(number: int) -> Iterator[set[int]]:
    """The ids of processes that wait for a peer: on a pipe, a terminal and a socket in turn."""
    ends: list[tuple[int, int]] = []
    for index in range(number):
        near, far = (os.pipe, _terminal, _sockets)[index % 3]()
        ends.append((near, far))
    readers = [subprocess.Popen(["head", "-c", "1"], stdin=near, stdout=subprocess.DEVNULL) for near, _ in ends]
    try:
        yield {reader.pid for reader in readers}
    finally:
        for reader, (near, far) in zip(readers, ends, strict=True):
            assert reader.poll() is None
            reader.kill()
            reader.wait()
            os.close(near)
            os.close(far)


READER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

static char memory[1 << 18] __attribute__((aligned(4096)));

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDONLY | O_DIRECT);

	for (long block = 0; block < 8; block++) {
		if (pread(fd, memory, sizeof(memory), block << 18) != sizeof(memory))
			return 1;
	}
	return argc != 2;
}
"""


def _unexplained(event: Event) -> int:
    """The ns of which only the begin or the end was seen."""
    return int(event["time"]["unattributed_ns"]) + int(event["time"]["blocked_ns"].get("unclassified", 0))


@pytest.mark.parametrize("idle", [0, 4, 8, 10, 12, 20])
def test_slow_reads_beside_idle_readers(url: str, rung: str, tmp_path: Path, idle: int) -> None:
    """Eight reads of 250 ms are eight slow events of their owner, however many readers wait for a peer beside them."""
    file, own = cold_file(tmp_path, READS * BLOCK), program(tmp_path / "reader", READER)
    with throttled(tmp_path) as group, _idle_readers(idle) as readers:
        unit = f"/{group.name}"
        with subprocess.Popen(in_group(group, own, file)) as process:
            assert process.wait(20) == 0
        wait_for_events(url, READS, owner=unit, operation="read", min_duration="5ms")
        page = closed_ledger(url)
        found = events(url, owner=unit, operation="read")
        waiting = [event for shown in (False, True) for event in events(url, in_progress=shown, min_duration="1s")]
    stacks = api(url, "stacks", probe="file", owner=unit, operation="read")["stacks"]

    assert [(event["result"], event["file"]["path"], event["process"]["pid"]) for event in found] == [
        (BLOCK, str(file), process.pid)
    ] * READS
    assert page.total("perflens_slow_operations_total", probe="file", unit=unit) == READS
    assert page.slow(unit, "read") == READS
    assert not readers & {event["process"]["pid"] for event in waiting}
    assert len(readers) == idle
    assert sum(stack["count"] for stack in stacks) == READS
    assert 1.5 < sum(event["duration_seconds"] for event in found) < 4
    walked = [event for event in found if event["kernel_stack"]]
    unnamed = [event for event in walked if not {"vfs_read", "iomap_dio_rw"} & set(functions(event["kernel_stack"]))]
    known = [event for event in found if _unexplained(event) < event["duration_ns"] // 2]
    seen = READS - 2  # a host may hide what some of its processes do, a switch to ours included
    assert not unnamed, repr(unnamed)
    assert len(walked) >= seen if rung == "tp_btf" else not walked
    assert len(known) >= seen
