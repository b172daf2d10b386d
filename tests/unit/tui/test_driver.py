"""tui/driver.py: `perflens top` in a pseudo terminal, and what terminals do that they should not."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.tui.answers import capsule

SECONDS = 30.0


class Terminal:
    """One that `perflens top` shows a recording in. ``out`` is what it was sent."""

    def __init__(self, folder: Path, *, controlling: bool = True, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
        os.set_blocking(self._master, False)
        self.out = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "perflens", "top", f"--replay={capsule(folder)}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "TZ": "UTC", **environment},
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None) if controlling else None,
        )
        os.close(slave)

    def press(self, keys: bytes) -> None:
        self.out = b""
        os.write(self._master, keys)

    def close(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.out[-2_000:]
            with suppress(BlockingIOError):
                self.out += os.read(self._master, 1 << 16)
            time.sleep(0.02)

    def shows(self, text: bytes) -> None:
        self.until(lambda: text in self.out)

    def code(self) -> int | None:
        """How it ended, whatever it still has to tell the terminal."""
        if self._master >= 0:
            with suppress(OSError):  # when nobody has the other end any more
                self.until(lambda: self.process.poll() is not None)
        return self.process.wait(SECONDS)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(**how: object) -> Terminal:
        started.append(own := Terminal(tmp_path, **how))  # type: ignore[arg-type]  # as Terminal has them
        own.shows(b"Slowest processes")
        return own

    yield start
    for own in started:
        own.process.kill()
        own.process.wait()
        own.close()


def test_what_is_no_key(begin: Callable[..., Terminal]) -> None:
    """Bytes that are no UTF-8, as a terminal of another encoding sends them, and sequences that Textual cannot read, are left out."""
    own = begin()
    own.press(b"\xe4\xff")
    own.press(b"\x1b[1;1:3u\x1b[1114112u")
    time.sleep(0.3)
    own.press(b"t")
    own.shows(b"timeline")
    own.press(b"Q")

    assert own.code() == 0


def test_a_terminal_that_is_gone(begin: Callable[..., Terminal]) -> None:
    """It ends though no signal tells it, as it is not the terminal of its session."""
    own = begin(controlling=False)
    own.close()

    assert own.code() == 128 + signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_stopped_and_continued(begin: Callable[..., Terminal], number: signal.Signals) -> None:
    """All of the screen is drawn again, however it was stopped, and a key leaves it."""
    own = begin()
    os.kill(own.process.pid, number)
    own.until(lambda: Path(f"/proc/{own.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    own.out = b""
    os.kill(own.process.pid, signal.SIGCONT)
    own.shows(b"Slowest processes")
    own.press(b"q")

    assert own.code() == 0


def test_a_locale_without_bars(begin: Callable[..., Terminal]) -> None:
    """What the locale has no letters for takes the room that it should."""
    own = begin(PYTHONIOENCODING="ascii")
    own.shows(b"???")

    assert rb"\u2588" not in own.out
