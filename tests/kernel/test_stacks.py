"""Stacks of slow operations: the kernel function that it slept in, and the program's own functions, whatever became of the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernel.slow import Event, cold_file, functions, in_group, program, throttled, wait_for_events

CALLED = ["inner_step", "outer_step", "main"]
PAGE_WAIT = {"folio_wait_bit_common", "folio_wait_bit", "wait_on_page_bit_common", "__folio_lock_killable"}
DIRECT_WAIT = {"iomap_dio_rw", "__iomap_dio_rw", "do_blockdev_direct_IO", "__blockdev_direct_IO"}


def _one_read(url: str, folder: Path, command: list[str], given: bytes = b"") -> Event:
    """The one slow read of a process in a throttled group."""
    with throttled(folder) as group, subprocess.Popen(in_group(group, *command), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.flush()
        (event,) = wait_for_events(url, 1, pid=process.pid, operation="read", min_duration="50ms")
        process.stdin.close()
        assert process.wait(10) == 0
    assert event["result"] == 1 << 18
    assert event["owner"]["unit"] == f"/{group.name}"
    return event


@pytest.mark.parametrize(("how", "slept_in"), [("cached", PAGE_WAIT), ("direct", DIRECT_WAIT)])
def test_a_cold_read_names_what_it_slept_in(url: str, rung: str, tmp_path: Path, how: str, slept_in: set[str]) -> None:
    """A read past the page cache waits in the file system's direct I/O, one through it for the page."""
    own = program(tmp_path / "reads")
    for _ in range(3):  # a host may hide what some of its processes do, a switch to ours included: its stack is not known then
        event = _one_read(url, tmp_path, [str(own), str(cold_file(tmp_path)), how, "stay"])
        if event["time"]["unattributed_ns"] < event["duration_ns"] // 2:
            break
    stack = functions(event["kernel_stack"])

    if rung == "raw_tp":
        assert stack == []  # this rung cannot take another task's stack
        return
    assert slept_in & set(stack), stack
    assert [frame for frame in stack if frame.startswith("filemap_")] or how == "direct"
    assert stack.index("vfs_read") < next(at for at, name in enumerate(stack) if name.endswith("_sys_pread64"))


def _user(event: Event) -> list[str]:
    """The functions of the program itself: from the first of ours to main."""
    stack = functions(event["user_stack"])
    assert "main" in stack, stack
    return stack[stack.index("inner_step") : stack.index("main") + 1]


def test_functions_of_a_program_that_runs(url: str, tmp_path: Path) -> None:
    """The functions that led to a slow read are named."""
    own = program(tmp_path / "plain")

    assert _user(_one_read(url, tmp_path, [str(own), str(cold_file(tmp_path)), "direct", "stay"])) == CALLED


def test_functions_of_a_program_in_another_mount_namespace(url: str, tmp_path: Path) -> None:
    """A program on a file system that only its own mount namespace has is read through the process."""
    own, hidden = program(tmp_path / "away"), tmp_path / "hidden"
    hidden.mkdir()
    script = 'mount -t tmpfs none "$1" && cp "$2" "$1/only-here" && rm "$2" && shift 2 && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(hidden), str(own), str(hidden / "only-here"), str(cold_file(tmp_path))]
    event = _one_read(url, tmp_path, [*command, "direct", "stay"])

    assert not (hidden / "only-here").exists()
    assert _user(event) == CALLED


def test_functions_of_a_program_whose_file_is_gone(url: str, tmp_path: Path) -> None:
    """A program that was deleted while it ran is read from the process's own mapping."""
    own, file = program(tmp_path / "deleted"), cold_file(tmp_path)
    with (
        throttled(tmp_path) as group,
        subprocess.Popen(in_group(group, own, file, "direct", "wait", "stay"), stdin=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        while Path(f"/proc/{process.pid}/exe").resolve() != own:
            assert process.poll() is None
        own.unlink()
        process.stdin.write(b"\n")
        process.stdin.flush()
        (event,) = wait_for_events(url, 1, pid=process.pid, operation="read", min_duration="50ms")
        process.stdin.close()

    assert _user(event) == CALLED


def test_functions_of_a_program_that_has_ended(url: str, tmp_path: Path) -> None:
    """A program that ends right after its slow read is read from the file that it was started from."""
    own = program(tmp_path / "ended")
    event = _one_read(url, tmp_path, [str(own), str(cold_file(tmp_path)), "direct"])

    assert _user(event) == CALLED
