"""A real terminal for tests: a window of tmux on a server of its own, that keys are sent to and whose screen is read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Terminal", "terminal"]

_DRIVEN = ("LANG", "LC_ALL", "NO_COLOR", "TMUX", "TERM", "COLORTERM", "COLUMNS", "LINES")


class Terminal:
    """A window in which a shell runs one command, notes how it ended and stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = str(folder / "tmux")

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def start(self, command: list[str], size: tuple[int, int], environment: Mapping[str, str]) -> None:
        """Run a command; the shell notes the settings of the terminal before and after it, and its exit code."""
        notes = {name: shlex.quote(str(self.folder / name)) for name in ("before", "after", "code")}
        script = f"stty -g >{notes['before']}; {shlex.join(command)}; echo $? >{notes['code']}; stty -g >{notes['after']}; exec sleep 300"
        clean = {name: value for name, value in os.environ.items() if name not in _DRIVEN and not name.startswith("PERFLENS_")}
        subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), script],
            env={**clean, "LANG": "C.UTF-8", "SHELL": "/bin/sh", **environment},
            check=True,
            timeout=30,
        )

    @property
    def text(self) -> str:
        """The screen as it is."""
        return self.tmux("capture-pane", "-p")

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def coloured(self) -> str:
        """The screen with its escape sequences."""
        return self.tmux("capture-pane", "-p", "-e")

    def flag(self, name: str) -> str:
        """A format of tmux, such as alternate_on."""
        return self.tmux("display-message", "-p", f"#{{{name}}}").strip()

    def press(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        for key in keys:
            self.tmux("send-keys", key)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def until(self, holds: Callable[[str], bool], seconds: float = 30) -> str:
        """The screen once something holds for it."""
        deadline = time.monotonic() + seconds
        while not holds(text := self.text):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return text

    def shows(self, *words: str, seconds: float = 30) -> str:
        """The screen once all of these are on it."""
        return self.until(lambda text: all(word in text for word in words), seconds)

    def code(self, seconds: float = 30) -> int:
        """How the command ended, once it has; the terminal is as it was before."""
        deadline = time.monotonic() + seconds
        while not (self.folder / "after").exists() or not (self.folder / "after").read_text():
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)
        assert (self.folder / "after").read_text() == (self.folder / "before").read_text()
        assert (self.flag("alternate_on"), self.flag("cursor_flag")) == ("0", "1")
        return int((self.folder / "code").read_text())


@contextmanager
def terminal(*command: str, size: tuple[int, int] = (80, 24), environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Run a command in a terminal, which is closed at the end with all that runs in it."""
    if not shutil.which("tmux"):
        pytest.skip("needs tmux: deploy/install-packages --with-tests")
    with tempfile.TemporaryDirectory(prefix="perflens-tmux-") as folder:
        own = Terminal(Path(folder))
        own.start(list(command), size, environment or {})
        try:
            yield own
        finally:
            subprocess.run(["tmux", "-S", str(Path(folder) / "tmux"), "kill-server"], capture_output=True, check=False, timeout=30)
