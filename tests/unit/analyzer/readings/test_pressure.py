"""readings/pressure.py: triggers of pressure."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from perflens.analyzer.readings.pressure import PressureTriggers
from tests.unit.analyzer.readings.trees import make


def test_what_is_written(tmp_path: Path) -> None:
    """The kernel takes the text up to its last byte, which is a NUL."""
    procfs = make(tmp_path, {"pressure/io": "", "pressure/cpu": ""})

    with PressureTriggers(procfs) as triggers:
        files = dict(triggers.files)
        assert set(files) == {"cpu", "io"}
        assert triggers.gaps == ("no trigger of memory pressure: No such file or directory",)
    assert (tmp_path / "pressure" / "io").read_bytes() == b"some 150000 1000000\0"
    assert not triggers.files
    for file in files.values():
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)
    triggers.close()


def test_host_without_pressure(tmp_path: Path) -> None:
    """There is nothing to poll, and it is told."""
    with PressureTriggers(str(tmp_path)) as triggers:
        assert not triggers.files
        assert len(triggers.gaps) == 3


def test_refused_write_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that the kernel does not take is a gap."""
    procfs = make(tmp_path, {"pressure/io": ""})
    opened: list[int] = []

    def refuse(file: int, _: bytes) -> int:
        opened.append(file)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "write", refuse)

    with PressureTriggers(procfs) as triggers:
        assert not triggers.files
        assert "no trigger of io pressure: Invalid argument" in triggers.gaps
    assert len(opened) == 2
    for file in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_longer_window_without_the_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of the window stays the same."""
    written = []

    def refuse(_: int, text: bytes) -> int:
        written.append(text)
        if b" 1000000" in text:
            raise OSError(22, "Invalid argument")
        return len(text)

    monkeypatch.setattr(os, "write", refuse)

    with PressureTriggers(make(tmp_path, {"pressure/io": ""})) as triggers:
        assert set(triggers.files) == {"io"}
    assert written == [b"some 150000 1000000\0", b"some 300000 2000000\0"]


def test_this_host() -> None:
    """Where the kernel takes triggers they can be polled; a window of 2 s needs no right."""
    with PressureTriggers("/proc", stall_us=1_900_000, window_us=2_000_000) as triggers:
        poll = select.poll()
        for file in triggers.files.values():
            poll.register(file, select.POLLPRI)
        assert not [event for _, event in poll.poll(0) if event & (select.POLLERR | select.POLLNVAL)]
        assert len(triggers.files) + len(triggers.gaps) == 3
