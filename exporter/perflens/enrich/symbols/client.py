"""The agent's side of the helper process: it is started when it is needed and killed when it does not answer in time."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from perflens.enrich.symbols import wire

__all__ = ["Helper", "HelperError", "HelperLate"]

_BACK_OFF = 0.1
_LONGEST_BACK_OFF = 30.0
_FORGIVEN_AFTER = 60.0
_MOST_DYING = 4
_IDLE = 60.0
_DEATH = 0.5
_START = 15.0  # s: an interpreter that starts on a starved CPU takes longer than an answer may
_SOURCES = str(Path(__file__).parents[3])
# Isolated and without site-packages: it loads the standard library and the modules of this folder, and nothing a user could put there.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from perflens.enrich.symbols.helper import main; main(sys.argv[1], int(sys.argv[2]))"
)


class HelperError(Exception):
    """There is no answer; the next request may have one."""


class HelperLate(HelperError):
    """The helper did not answer in time and was killed."""


class Helper:
    """One helper process. ``restarts`` counts those that were killed or died, ``timeouts`` the requests without an answer in time."""

    def __init__(self, procfs: str, *, timeout: float = 1.0, idle: float = _IDLE, clock: Callable[[], float] = monotonic) -> None:
        self._procfs, self._timeout, self._idle, self._clock = procfs, timeout, idle, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._is_ready = False
        self._dying: list[subprocess.Popen[bytes]] = []
        self._failures = 0
        self._failed_at = 0.0
        self.restarts = self.timeouts = 0

    @property
    def pid(self) -> int:
        """The PID of the process that runs; 0 when none does."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def ask(self, request: Sequence[bytes]) -> list[bytes]:
        """Return the answer; HelperError when there is none within the time limit.

        One that is late is killed, but for one that still starts: it is left alone for the next request.
        """
        message = wire.pack(request)
        if len(message) > wire.LIMIT:
            raise HelperError("too much at once")
        deadline = self._clock() + self._timeout
        process = self._running()
        try:
            self._await_start(process, deadline)
            self._send(process, message, deadline)
            size = wire.size(self._receive(process, 4, deadline))
            return wire.unpack(self._receive(process, size, deadline))
        except (OSError, ValueError) as error:
            late = isinstance(error, TimeoutError)
            self.timeouts += late
            if late and self._is_starting():
                raise HelperError("it is still starting") from error
            self._fail()
            raise (HelperLate if late else HelperError)(str(error)) from error

    def close(self) -> None:
        """End the helper."""
        self._end()
        for process in self._dying:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_DEATH / len(self._dying))
        self._reap()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            if self._process.returncode:  # one that was idle ended with 0
                self._fail()
            else:
                self._end()
        if self._process is None:
            if not self._may_start():
                raise HelperError("it failed a moment ago")
            self._process, self._started_at, self._is_ready = self._start(), self._clock(), False
        return self._process

    def _await_start(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        if not self._is_ready:
            self._receive(process, len(wire.READY), deadline)
            self._is_ready = True

    def _is_starting(self) -> bool:
        return not self._is_ready and self._clock() - self._started_at < _START

    def _may_start(self) -> bool:
        self._reap()
        if self._failures and self._clock() - self._failed_at > _FORGIVEN_AFTER:
            self._failures = 0
        wait = min(_BACK_OFF * 2 ** (self._failures - 1), _LONGEST_BACK_OFF) if self._failures else 0.0
        return len(self._dying) < _MOST_DYING and self._clock() - self._failed_at >= wait

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, _SOURCES, self._procfs, str(int(self._idle * 1000))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                bufsize=0, cwd="/", env=_environment(), start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self._fail()
            raise HelperError(str(error)) from error
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        return process

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        waiting = select.poll()
        waiting.register(descriptor, event)
        if not waiting.poll(max(deadline - self._clock(), 0.0) * 1000):
            raise TimeoutError("no answer in time")

    def _send(self, process: subprocess.Popen[bytes], message: bytes, deadline: float) -> None:
        assert process.stdin is not None
        while message:
            self._wait(process.stdin.fileno(), select.POLLOUT, deadline)
            message = message[os.write(process.stdin.fileno(), message) :]

    def _receive(self, process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert process.stdout is not None
        parts = []
        while size:
            self._wait(process.stdout.fileno(), select.POLLIN, deadline)
            part = os.read(process.stdout.fileno(), size)
            if not part:
                raise ConnectionError("it ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _fail(self) -> None:
        self._failures += 1
        self._failed_at = self._clock()
        self.restarts += 1
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.kill()
        self._dying.append(process)  # not waited for: one that hangs in a file system that does not answer cannot even be killed

    def _reap(self) -> None:
        self._dying = [process for process in self._dying if process.poll() is None]


def _environment() -> dict[str, str]:
    """Return what the interpreter itself may need to start, and nothing else."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
