"""Small programs with known functions, compiled for the tests, and what the kernel would say of their stacks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from perflens.enrich.symbols.process import Process
from perflens.enrich.symbols.tables import image_of
from perflens.model import ProcessKey, UserFrame

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
SOURCE = """
#include <unistd.h>
__attribute__((noinline)) void inner_wait(void) { pause(); __asm__(""); }
__attribute__((noinline)) void outer_work(void) { inner_wait(); __asm__(""); }
int main(void) { outer_work(); return 0; }
"""


def compiled(path: Path, source: str = SOURCE, *options: str, compiler: str = "gcc") -> Path:
    """Compile a program, or skip the test by the name of the compiler that is missing."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    suffix = ".cc" if compiler == "g++" else ".c"
    file = path.with_suffix(suffix)
    file.write_text(source)
    subprocess.run([compiler, "-O1", "-fno-omit-frame-pointer", *options, "-o", str(path), str(file)], check=True)
    return path


def build_id_of(path: Path) -> bytes:
    """Return the build-id of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return image_of(fd).build_id()
    finally:
        os.close(fd)


def frame(path: Path, function: str, into: int = 4) -> UserFrame:
    """Return the frame that the kernel would tell: in a program of ours, text lies at its offset in the file."""
    lines = subprocess.run(["nm", str(path)], check=True, capture_output=True, text=True).stdout.splitlines()
    address = next(int(line.split()[0], 16) for line in lines if line.split()[-1] == function)
    if address >= 0x400000:  # linked to a fixed address
        address -= 0x400000
    return UserFrame(build_id_of(path), address + into)


def start_of(pid: int) -> int:
    """Return when a process began, ns of CLOCK_BOOTTIME."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) * TICK


@contextmanager
def running(*command: str | Path) -> Iterator[ProcessKey]:
    """A process that is past its exec and sleeps."""
    own = os.readlink("/proc/self/exe")
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL) as process:
        try:
            deadline = monotonic() + 5
            while monotonic() < deadline:
                state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state == "S" and os.readlink(f"/proc/{process.pid}/exe") != own:
                    break
                sleep(0.005)
            yield ProcessKey(process.pid, start_of(process.pid))
        finally:
            process.kill()


def address(process: ProcessKey, path: Path, found: UserFrame) -> int:
    """Return where a frame of a file stands in a process."""
    own = Process("/proc", process.pid)
    try:
        for mapping in own.mappings():
            if mapping.path == os.fsencode(path) and mapping.offset <= found.offset < mapping.offset + mapping.end - mapping.start:
                return mapping.start + found.offset - mapping.offset
        raise AssertionError("it is not mapped")
    finally:
        own.close()
