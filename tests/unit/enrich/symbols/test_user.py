"""Names of user stacks, of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflens.enrich.symbols.user import UserSymbols
from perflens.model import ProcessKey, UserFrame
from tests.unit.enrich.symbols.programs import address, compiled, frame, running

NAMED = ("inner_wait+0x4", "outer_work+0x6")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("programs") / "sleeper")


@pytest.fixture(scope="module")
def stack(program: Path) -> tuple[UserFrame, ...]:
    return frame(program, "inner_wait"), frame(program, "outer_work", 6)


@pytest.fixture
def symbols() -> Iterator[UserSymbols]:
    found = UserSymbols(timeout=5)  # a busy machine is no failure
    yield found
    found.close()


def copied(program: Path, folder: Path) -> Path:
    copy = folder / "copy"
    copy.write_bytes(program.read_bytes())
    copy.chmod(0o755)
    return copy


def test_live(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """A process that runs, and the counters."""
    with running(program) as process:
        assert symbols.names(process, stack) == NAMED
        assert symbols.names(process, ()) == ()
    assert (symbols.resolved, symbols.unresolved, symbols.names_kept) == (2, 0, 2)


def test_deleted(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """Its program was deleted while it runs."""
    copy = copied(program, tmp_path)
    with running(copy) as process:
        copy.unlink()
        assert symbols.names(process, stack) == NAMED


def test_replaced(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """Another program stands at its path: it is not named by that."""
    copy = copied(program, tmp_path)
    with running(copy) as process:
        copy.unlink()
        compiled(copy, "int inner_other(void) { return 0; } int main(void) { return inner_other(); }")
        assert symbols.learn_path(str(copy))
        assert symbols.names(process, stack) == NAMED


def test_ended(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """It was learned while it ran, and names come after its end."""
    with running(program) as process:
        assert symbols.learn(process)

    assert symbols.names(process, stack) == NAMED
    assert not symbols.learn(process)


def test_ended_and_deleted(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """Nothing is left of it but what was learned."""
    copy = copied(program, tmp_path)
    with running(copy) as process:
        assert symbols.learn(process)
    copy.unlink()

    assert symbols.names(process, stack) == NAMED


def test_ended_unseen(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """Only the path of its program is known."""
    gone = ProcessKey(2**22 + 1, 1)
    assert not symbols.learn(gone)
    assert symbols.names(gone, stack[:1]) == (f"build-id:{stack[0].build_id.hex()}+{stack[0].offset:#x}",)

    assert symbols.learn_path(str(program))
    other = ProcessKey(2**22 + 2, 1)

    assert symbols.names(other, stack) == NAMED


def test_build(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """The build-id of a program, as the kernel has it, whatever its path; what is no program has none, nor what has ended."""
    copy, script = tmp_path / "copy", tmp_path / "script"
    copy.write_bytes(program.read_bytes())
    script.write_text("#!/bin/sh\n")
    with running(program) as process:
        assert symbols.build_of(str(program), process) == symbols.build_of(str(copy), process) == stack[0].build_id.hex()
        none = (str(script), f"{tmp_path}/none", str(tmp_path), "relative")
        assert [symbols.build_of(path, process) for path in none] == ["", "", "", ""]
        assert symbols.build_of(str(program), process._replace(start=process.start + 10**9)) == ""
    assert symbols.build_of(str(program), process) == ""


def test_relative(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """A child that has ended ran the same program as its parent, which lives."""
    with running(program) as parent:
        assert symbols.names(ProcessKey(2**22 + 1, 1), stack, near=[parent.pid]) == NAMED


def test_other_start(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """A process that got the PID of another is not asked."""
    with running(program) as process:
        earlier = ProcessKey(process.pid, process.start - 1_000_000_000)
        where = UserFrame(b"", address(process, program, stack[0]))

        assert symbols.names(earlier, [where]) == (f"{where.offset:#x}",)
        assert symbols.names(process, [where]) == NAMED[:1]


def test_without_build_id(symbols: UserSymbols, tmp_path: Path) -> None:
    """A file without a build-id is named by the mapping; what is not a function by the file."""
    program = compiled(tmp_path / "plain", SLEEPER, "-Wl,--build-id=none")
    found = frame(program, "inner_wait")
    assert not found.build_id
    with running(program) as process:
        where = address(process, program, found)
        frames = [UserFrame(b"", where), UserFrame(b"", where - found.offset + 0x1001), UserFrame(b"", 0x10)]
        assert symbols.names(process, frames)[::2] == ("inner_wait+0x4", "0x10")


SLEEPER = "#include <unistd.h>\nvoid inner_wait(void) { pause(); }\nint main(void) { inner_wait(); return 0; }"


def test_stripped(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """Without symbols the file and the offset are told."""
    copy = copied(program, tmp_path)
    subprocess.run(["strip", str(copy)], check=True)
    with running(copy) as process:
        assert symbols.names(process, stack) == tuple(f"copy+{found.offset:#x}" for found in stack)
    assert (symbols.resolved, symbols.unresolved) == (0, 2)


def test_fixed_address(symbols: UserSymbols, tmp_path: Path) -> None:
    """A program linked to a fixed, low address, which map_files writes without padding."""
    program = compiled(tmp_path / "fixed", SLEEPER, "-no-pie", "-static")
    found = frame(program, "inner_wait")
    with running(program) as process:
        program.unlink()
        assert symbols.names(process, [found, UserFrame(b"", 0x400000 + found.offset)]) == ("inner_wait+0x4", "inner_wait+0x4")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_mount_namespace(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...], tmp_path: Path) -> None:
    """The file stands in a file system that only its mount namespace sees; one that ended there is named through one that lives."""
    inside = f"mount -t tmpfs none {tmp_path} && cp {program} {tmp_path}/hidden && exec {tmp_path}/hidden"
    with running("unshare", "-m", "sh", "-c", inside) as process:
        for _ in range(500):
            if os.readlink(f"/proc/{process.pid}/exe").endswith("hidden"):
                break
            time.sleep(0.01)
        assert not (tmp_path / "hidden").exists()
        assert not symbols.learn_path(f"{tmp_path}/hidden")
        assert symbols.learn_path(f"{tmp_path}/hidden", process.pid)
        assert symbols.names(ProcessKey(2**22 + 1, 1), stack) == NAMED

        again = UserSymbols(timeout=5)
        assert again.names(process, stack) == NAMED
        again.close()


def test_vdso(symbols: UserSymbols, program: Path) -> None:
    """The kernel's own code in a process has names too."""
    with running(program) as process:
        lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        start = next((int(line.split("-")[0], 16) for line in lines if line.endswith("[vdso]")), None)
        if start is None:
            pytest.skip("needs a vdso")
        names = symbols.names(process, [UserFrame(b"", start + offset) for offset in range(0, 4096, 16)])
    assert any(name.endswith(" [vdso]") and "gettime+0x" in name for name in names)


def test_helper_killed(symbols: UserSymbols, program: Path, stack: tuple[UserFrame, ...]) -> None:
    """A helper that was killed is replaced, and knows again where files are."""
    with running(program) as process:
        assert symbols.learn(process)
        os.kill(symbols._helper.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while symbols.names(process, stack) != NAMED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert symbols.helper_restarts == 1


def test_helper_hangs(program: Path, stack: tuple[UserFrame, ...]) -> None:
    """A helper that does not answer costs the time limit, once; the file and the offset remain."""
    symbols = UserSymbols(timeout=0.2)
    with running(program) as process:
        while not symbols.learn(process):
            time.sleep(0.2)
        timeouts = symbols.timeouts
        os.kill(symbols._helper.pid, signal.SIGSTOP)
        began = time.monotonic()
        names = symbols.names(process, stack)
        again = symbols.names(process, stack)

        assert time.monotonic() - began < 0.4
        assert names == again == tuple(f"sleeper+{found.offset:#x}" for found in stack)
        assert symbols.timeouts == timeouts + 1
    symbols.close()


def test_storm(symbols: UserSymbols, program: Path) -> None:
    """The same program again and again is read once."""
    with running(program) as process:
        assert symbols.learn(process)
        began = time.monotonic()
        for _ in range(200):
            assert symbols.learn(process)
        assert time.monotonic() - began < 0.5
    assert symbols.learn_skipped == 0
