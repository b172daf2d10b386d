"""selftest/scratch.py: what is made, who has it, and what is left of the dead."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perflens.selftest import scratch
from perflens.selftest.scratch import PREFIX, claim, own_name, remove_cgroup, remove_folder, sweep

DEAD = f"{PREFIX}{2**22 + 1}-77"


def test_claim(tmp_path: Path) -> None:
    """A claim is a folder of our name, private, and gone once it is closed; a second one has another name."""
    first, second = claim(tmp_path, remove_folder), claim(tmp_path, remove_folder)
    (first.path / "data").write_text("x")

    assert first.path.name == own_name()
    assert second.path.name == f"{own_name()}-2"
    assert first.path.stat().st_mode & 0o777 == 0o700
    for own in (first, second, first):
        own.close()
    assert list(tmp_path.iterdir()) == []


def test_claim_where_nothing_can_be_made(tmp_path: Path) -> None:
    """No folder is an error of the system's."""
    with pytest.raises(FileNotFoundError):
        claim(tmp_path / "nothing", remove_folder)


def test_sweep(tmp_path: Path) -> None:
    """What dead runs left goes with its files; what lives, is locked or only looks like it stays."""
    for name in (DEAD, f"{DEAD}-2", own_name(), f"{PREFIX}x-1", f"{PREFIX}1", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text("x")
    (tmp_path / f"{PREFIX}{2**22 + 2}-1").symlink_to(tmp_path / "other")
    locked = os.open(tmp_path / f"{DEAD}-2", os.O_RDONLY)
    fcntl.flock(locked, fcntl.LOCK_EX)

    assert sweep(tmp_path, remove_folder) == [DEAD]
    assert not (tmp_path / DEAD).exists()
    assert (tmp_path / "other" / "data").exists()
    assert len(list(tmp_path.iterdir())) == 6
    os.close(locked)
    assert sweep(tmp_path, remove_folder) == [f"{DEAD}-2"]
    assert sweep(tmp_path / "nothing", remove_folder) == []


def test_pid_that_was_used_again(tmp_path: Path) -> None:
    """A process of the PID that began at another time is not the one that made it."""
    name = f"{PREFIX}{os.getpid()}-1"
    (tmp_path / name).mkdir()

    assert sweep(tmp_path, remove_folder) == [name]


def test_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that all may write into, others' are left alone."""
    (tmp_path / DEAD).mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert sweep(tmp_path, remove_folder) == []


def test_claim_that_a_sweep_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another run locks or removes in the moment since it was made is given up for one of another name."""
    real, seen = os.open, []

    def raced(path: Any, *arguments: int, **options: int) -> int:
        seen.append(path)
        if len(seen) == 1:
            os.rmdir(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", raced)
    own = claim(tmp_path, remove_folder)

    assert own.path.name == f"{own_name()}-2"
    own.close()


def test_claim_that_another_has_locked(tmp_path: Path) -> None:
    """The lock says who has it."""
    own = claim(tmp_path, remove_folder)
    script = "import fcntl, os, sys\nfd = os.open(sys.argv[1], os.O_RDONLY)\nfcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    done = subprocess.run([sys.executable, "-c", script, own.path], capture_output=True, text=True, check=False)

    assert "BlockingIOError" in done.stderr
    own.close()


def test_cgroup_that_stays_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cgroup is removed from the bottom up; one that is not let go after a while is an error, one that is gone is none."""
    monkeypatch.setattr(scratch, "_PATIENCE", 0.1)
    (tmp_path / "own" / "beside").mkdir(parents=True)
    remove_cgroup(tmp_path / "own")
    remove_cgroup(tmp_path / "own")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "member").write_text("")  # stands for what keeps it

    assert not (tmp_path / "own").exists()
    with pytest.raises(OSError, match="not empty"):
        remove_cgroup(tmp_path / "busy")
