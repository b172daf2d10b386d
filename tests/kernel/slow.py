"""Operations that are slow on purpose, by programs with functions that have names, and what the API says of them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.throttle import BLOCK, CannotThrottle, Group, throttled_group

RATE = 1 << 20  # BLOCK takes 250 ms
Event = dict[str, Any]

_numbers = count(1)


def api(url: str, view: str, **query: object) -> Any:
    """Ask a view of the API of the agent whose metrics are at ``url``."""
    text = urllib.parse.urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()})
    with urllib.request.urlopen(f"{url.removesuffix('/metrics')}/api/v1/{view}?{text}", timeout=30) as answer:
        return json.loads(answer.read())


def events(url: str, wanted: Callable[[Event], bool] = lambda _: True, **query: object) -> list[Event]:
    """The events that the API shows now, the newest first: those of operations on files, unless the query names another probe."""
    return [event for event in api(url, "events", limit=1000, **{"probe": "file", **query})["events"] if wanted(event)]


def wait_for_events(
    url: str, number: int, wanted: Callable[[Event], bool] = lambda _: True, seconds: float = 15, **query: object
) -> list[Event]:
    """The events once there are so many; a moment later there are no more."""
    deadline = time.monotonic() + seconds
    while len(found := events(url, wanted, **query)) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def until(is_so: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def functions(stack: list[str]) -> list[str]:
    """The functions of a stack, without offsets."""
    return [frame.split("+")[0] for frame in stack]


@contextmanager
def throttled(folder: Path, reads: int = RATE, writes: int = RATE, name: str = "") -> Iterator[Group]:
    """A group whose direct reads and writes of files in a folder take that many bytes a second."""
    try:
        with throttled_group(folder, name or f"perflens-slow-{os.getpid()}-{next(_numbers)}", writes) as group:
            _limit_reads(group, reads)
            yield group
    except CannotThrottle as reason:
        pytest.skip(str(reason))


def _limit_reads(group: Group, reads: int) -> None:
    for folder in group.folders:
        if (v1 := folder / "blkio.throttle.read_bps_device").exists():
            disk = (folder / "blkio.throttle.write_bps_device").read_text().split()[0]
            v1.write_text(f"{disk} {reads}")
        elif (v2 := folder / "io.max").exists():
            v2.write_text(f"{v2.read_text().split()[0]} rbps={reads}")


def release(group: Group) -> None:
    """Throttle no more, what waits included."""
    for folder in group.folders:
        for name, text in (
            ("blkio.throttle.read_bps_device", "0"),
            ("blkio.throttle.write_bps_device", "0"),
            ("io.max", "rbps=max wbps=max"),
        ):
            if (knob := folder / name).exists() and (words := knob.read_text().split()):
                knob.write_text(f"{words[0]} {text}")


def in_group(group: Group, *command: str | Path) -> list[str]:
    """The command, run by a process that is in the group before the program begins."""
    join = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'
    return ["sh", "-c", join, "sh", *group.procs, "--", *map(str, command)]


JOIN = """
import os, sys
while (procs := sys.argv.pop(1)) != "--":
    open(procs, "w").write("0")
"""


def python_in_group(group: Group, code: str, *arguments: str | Path) -> list[str]:
    """Python code, which joins the group once Python has begun: its own files may be cold, and the throttle slow."""
    return [sys.executable, "-c", JOIN + code, *group.procs, "--", *map(str, arguments)]


def cold_file(folder: Path, size: int = 16 * BLOCK) -> Path:
    """A file whose blocks are on the disk and not in the page cache."""
    file = folder / f"cold-{next(_numbers)}"
    with file.open("wb") as out:
        out.write(os.urandom(size))
        out.flush()
        os.fsync(out.fileno())
        os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


# libc's own pread keeps no frame pointer, so the walk goes from it to the caller of the function that called it.
PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char memory[1 << 18] __attribute__((aligned(4096)));

__attribute__((noinline)) long call_libc(int fd)
{
	long got = pread(fd, memory, sizeof(memory), 0);

	__asm__ volatile("");
	return got;
}

__attribute__((noinline)) long inner_step(int fd)
{
	long got = call_libc(fd);

	__asm__ volatile("");
	return got;
}

__attribute__((noinline)) long outer_step(int fd)
{
	long got = inner_step(fd);

	__asm__ volatile("");
	return got;
}

/* program FILE [direct] [wait] [stay]: read 256 KiB, after a line of input with wait, and stay until the input ends with stay. */
int main(int argc, char **argv)
{
	int flags = O_RDONLY, wait = 0, stay = 0;
	long got;
	char c;

	for (int i = 2; i < argc; i++) {
		flags |= strcmp(argv[i], "direct") ? 0 : O_DIRECT;
		wait |= !strcmp(argv[i], "wait");
		stay |= !strcmp(argv[i], "stay");
	}
	if (wait && read(0, &c, 1) != 1)
		return 2;
	got = outer_step(open(argv[1], flags));
	while (stay && read(0, &c, 1) > 0)
		;
	return got != sizeof(memory);
}
"""


def program(path: Path, source: str = PROGRAM, *options: str) -> Path:
    """Compile a program that no one has seen before: its build-id is its own."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    file = path.with_suffix(".c")
    file.write_text(source)
    flags = ("-O1", "-g", "-fno-omit-frame-pointer", f"-Wl,--build-id=0x{secrets.token_hex(20)}")
    subprocess.run(["gcc", *flags, *options, "-o", path, file], check=True)
    file.unlink()
    return path
