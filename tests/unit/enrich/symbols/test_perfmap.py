"""What a process says of the code that it compiled: believed when it is its own word, and never waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflens.enrich.symbols import perfmap
from perflens.enrich.symbols.perfmap import PerfMap
from perflens.enrich.symbols.user import UserSymbols
from perflens.model import ProcessKey, UserFrame
from tests.unit.enrich.symbols.programs import start_of

COMPILES = """
import ctypes, mmap, sys
code = mmap.mmap(-1, 65536, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
print(ctypes.addressof(ctypes.c_char.from_buffer(code)), flush=True)
sys.stdin.read()
"""


class Compiler:
    """A process with code that no file has, and where its map belongs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.address = int(process.stdout.readline())
        self.key = ProcessKey(process.pid, start_of(process.pid))
        self.map = Path(f"/tmp/perf-{process.pid}.map")

    def frames(self, *offsets: int) -> list[UserFrame]:
        return [UserFrame(b"", self.address + offset) for offset in offsets]

    def write(self, *entries: tuple[int, int, bytes]) -> None:
        self.map.write_bytes(b"".join(b"%x %x %b\n" % (self.address + start, size, name) for start, size, name in entries))


@pytest.fixture
def compiler() -> Iterator[Compiler]:
    with subprocess.Popen([sys.executable, "-c", COMPILES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        found = Compiler(process)
        yield found
        found.map.unlink(missing_ok=True)
        process.kill()


@pytest.fixture
def symbols() -> Iterator[UserSymbols]:
    found = UserSymbols(timeout=5)
    yield found
    found.close()


def test_named(symbols: UserSymbols, compiler: Compiler) -> None:
    """Functions by their ranges, names of any bytes in one line."""
    compiler.write((0, 0x10, b"Lcom/example/Main;::run"), (0x10, 0x10, b"odd \xff\x1b[31m name"), (0x40, 0x10, b"x" * 1000))

    names = symbols.names(compiler.key, compiler.frames(0x8, 0x1A, 0x30, 0x41))

    assert names[0] == "Lcom/example/Main;::run+0x8"
    assert names[1] == "odd \\xff\\x1b[31m name+0xa"
    assert names[2] == f"{compiler.address + 0x30:#x}"
    assert names[3] == "x" * 251 + "…+0x1"
    assert symbols.perf_maps_refused == 0


def test_grows(compiler: Compiler) -> None:
    """What was compiled since is read, and later code in the same place counts."""
    clock = [0.0]
    symbols = UserSymbols(timeout=5, clock=lambda: clock[0])
    compiler.write((0, 0x10, b"first"))
    assert symbols.names(compiler.key, compiler.frames(1)) == ("first+0x1",)

    with compiler.map.open("ab") as file:
        file.write(b"%x 10 second\n" % compiler.address)
    assert symbols.names(compiler.key, compiler.frames(1)) == ("first+0x1",)
    clock[0] = 6
    assert symbols.names(compiler.key, compiler.frames(1)) == ("second+0x1",)

    compiler.write((0, 0x8, b"anew"))
    clock[0] = 12
    assert symbols.names(compiler.key, compiler.frames(1, 9)) == ("anew+0x1", f"{compiler.address + 9:#x}")
    symbols.close()


def refused(symbols: UserSymbols, compiler: Compiler, *, count: int = 1) -> None:
    began = time.monotonic()
    assert symbols.names(compiler.key, compiler.frames(1)) == (f"{compiler.address + 1:#x}",)
    assert time.monotonic() - began < 1
    assert (symbols.perf_maps_refused, symbols.timeouts) == (count, 0)


def test_fifo(symbols: UserSymbols, compiler: Compiler) -> None:
    """Nobody writes to it: it is not opened."""
    os.mkfifo(compiler.map)
    refused(symbols, compiler)


def test_link(symbols: UserSymbols, compiler: Compiler, tmp_path: Path) -> None:
    """A link leads to a file that others wrote."""
    compiler.write((0, 0x10, b"elsewhere"))
    compiler.map.rename(tmp_path / "map")
    compiler.map.symlink_to(tmp_path / "map")
    refused(symbols, compiler)


def test_folder_and_device(symbols: UserSymbols, compiler: Compiler) -> None:
    """Only files count."""
    compiler.map.mkdir()
    refused(symbols, compiler)
    compiler.map.rmdir()


def test_huge(symbols: UserSymbols, compiler: Compiler) -> None:
    """A file of any size is not read."""
    compiler.write((0, 0x10, b"first"))
    os.truncate(compiler.map, perfmap.LARGEST + 1)
    refused(symbols, compiler)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_foreign(symbols: UserSymbols, compiler: Compiler) -> None:
    """Another user wrote it."""
    compiler.write((0, 0x10, b"lie"))
    os.chown(compiler.map, 54321, 54321)
    refused(symbols, compiler)


def test_no_map(symbols: UserSymbols, compiler: Compiler) -> None:
    """None at all is no refusal."""
    refused(symbols, compiler, count=0)


def test_binary(symbols: UserSymbols, compiler: Compiler) -> None:
    """Lines that make no sense are left out, and one as long as the file ends nothing."""
    compiler.map.write_bytes(os.urandom(1 << 20) + b"\n" + b"a" * (1 << 20) + b"\n%x 10 real\n" % compiler.address)
    assert symbols.names(compiler.key, compiler.frames(1)) == ("real+0x1",)


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"10", b"10 10", b"zz 10 a", b"-10 20 a", b"10 -1 a", b"10 0 a", b"10 10 ", b"f" * 40 + b" 10 a", b"ffffffffffffffff 10 a"],
)
def test_damaged_line(line: bytes) -> None:
    """A damaged line is none."""
    found = PerfMap()
    found.feed(line + b"\n20 10 good\n")

    assert len(found) == 1
    assert found.at(0x2F) == (b"good", 0xF)
    assert found.at(0x30) is found.at(0x1F) is None


def test_pieces() -> None:
    """A line may come in two parts."""
    found = PerfMap()
    found.feed(b"10 10 on")
    assert found.at(0x10) is None
    found.feed(b"e two\n")
    assert found.at(0x10) == (b"one two", 0)


def test_most_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound."""
    monkeypatch.setattr(perfmap, "MOST_ENTRIES", 100)
    found = PerfMap()
    found.feed(b"".join(b"%x 1 f\n" % i for i in range(1000)))
    assert len(found) == 100
