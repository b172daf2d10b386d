"""kernel/kprobes.py: kprobes that agents have left behind, in a tracefs that is made up: no real one keeps what is told to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel import kprobes
from perflens.kernel.kprobes import Kprobes

LARGEST = 4_194_304  # no process has this PID


def test_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is of no process goes, and what is of a process that had our PID before: in a container it is 1 each time."""
    monkeypatch.setattr(kprobes, "_TRACEFS", (tmp_path,))
    own, living = os.getpid(), os.getppid()
    left = [f"r2048:perflens_{pid}/file_return_x x\n" for pid in (own, living, LARGEST)]
    (tmp_path / "kprobe_events").write_text("".join(left))
    with pytest.raises(ProbeError, match="kprobe at vfs_read: No such file or directory"):
        Kprobes("file").open("vfs_read", at_return=False)

    told = (tmp_path / "kprobe_events").read_text().splitlines()[len(left) :]
    removed = [f"-:perflens_{pid}/file_return_x" for pid in (own, LARGEST)]
    assert told == [*removed, f"p:perflens_{own}/file_entry_vfs_read vfs_read"]
