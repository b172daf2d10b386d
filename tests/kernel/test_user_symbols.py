"""Names of stacks of short-lived, hidden and hostile processes, as the agent meets them: late."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perflens.enrich.symbols.user import UserSymbols
from perflens.model import ProcessKey, UserFrame
from tests.unit.enrich.symbols.programs import compiled, frame, start_of

SOURCE = """
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline)) void inner_wait(int ms) { usleep(ms * 1000); __asm__(""); }
__attribute__((noinline)) void outer_work(int ms) { inner_wait(ms); __asm__(""); }
int main(int count, char **words) { outer_work(count > 1 ? atoi(words[1]) : 0); return 0; }
"""
NAMED = ("inner_wait+0x4", "outer_work+0x4")
LATE = 0.25  # what an event takes to the agent


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return compiled(tmp_path / "short", SOURCE)


@pytest.fixture
def stack(program: Path) -> tuple[UserFrame, ...]:
    return frame(program, "inner_wait"), frame(program, "outer_work")


@pytest.fixture
def symbols() -> Iterator[UserSymbols]:
    found = UserSymbols()
    yield found
    found.close()


def named_within(symbols: UserSymbols, process: ProcessKey, stack: tuple[UserFrame, ...], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while symbols.names(process, stack) != NAMED:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_lives_300_ms(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """It is learned 250 ms after its exec, when it still lives, and its stack comes after its end and its file's."""
    with subprocess.Popen([program, "300"]) as process:
        key = ProcessKey(process.pid, start_of(process.pid))
        time.sleep(LATE)
        assert symbols.learn(key)
    program.unlink()

    assert symbols.names(key, stack) == NAMED


def test_lives_50_ms(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """It is gone when its exec is told: the path that it was started by is left."""
    with subprocess.Popen([program, "50"]) as process:
        key = ProcessKey(process.pid, start_of(process.pid))
    time.sleep(LATE)
    assert not symbols.learn(key)
    assert symbols.learn_path(str(program), os.getpid())
    program.unlink()

    assert symbols.names(key, stack) == NAMED


def test_wrong_file(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """Another file stands at the path of a process that is gone: no name, and none of that file's."""
    program.unlink()
    compiled(program, "int inner_other(void) { return 0; } int main(void) { return inner_other(); }")
    assert symbols.learn_path(str(program))

    names = symbols.names(ProcessKey(2**22 + 1, 1), stack)

    assert names == tuple(f"build-id:{found.build_id.hex()}+{found.offset:#x}" for found in stack)


@contextmanager
def silent_file_system(point: Path) -> Iterator[None]:
    """A FUSE mount whose server never answers."""
    server = os.open("/dev/fuse", os.O_RDWR)
    try:
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
        mounted = subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, "silent", str(point)], pass_fds=[server], capture_output=True)
        if mounted.returncode:
            pytest.skip(f"needs FUSE: {mounted.stderr.decode()}")
        yield
    finally:
        os.close(server)  # whoever waits gets an error now
        subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")
def test_hanging_file_system(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """A file that never opens costs one time limit, and nothing afterwards; others are named again at once."""
    (tmp_path / "silent").mkdir()
    with silent_file_system(tmp_path / "silent"):
        began = time.monotonic()
        for _ in range(10):
            assert not symbols.learn_path(f"{tmp_path}/silent/program")
        assert time.monotonic() - began < 1.5
        assert (symbols.timeouts, symbols.helper_restarts) == (1, 1)

        with subprocess.Popen([program, "3000"]) as process:
            key = ProcessKey(process.pid, start_of(process.pid))
            assert named_within(symbols, key, stack, 2)
            process.kill()


def test_storm_of_execs(symbols: UserSymbols, program: Path) -> None:
    """Programs that come by the thousand are read up to a bound, and the rest is counted."""
    copies = []
    for number in range(300):
        copies.append(program.with_name(f"copy{number}"))
        os.link(program, copies[-1])
    learned = sum(symbols.learn_path(str(copy)) for copy in copies)

    assert 100 <= learned < 300
    assert symbols.learn_skipped == 300 - learned
