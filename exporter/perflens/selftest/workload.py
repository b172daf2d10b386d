"""The process that works, seen from the run that tells it what to do."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from perflens.selftest.model import Report
from perflens.selftest.throttle import Throttle

__all__ = ["Workload", "WorkloadError"]

_PATIENCE = 1.0  # s that it may take to die


class WorkloadError(Exception):
    """The known work could not be done; the text says why."""


class Workload:
    """One worker process, which dies with this one and may use a throttle.

    ``deadline`` is of time.monotonic(): nothing is waited for after it.
    """

    def __init__(self, deadline: float, throttle: Throttle) -> None:
        self._deadline, self._throttle, self._rest = deadline, throttle, b""
        command = [sys.executable, "-P", "-m", "perflens.selftest.worker", str(os.getpid())]
        pipe = subprocess.PIPE
        # A session of its own: what a terminal sends goes to us alone, who end it.
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)

    def prepare(self, family: str, folder: str, members: str) -> None:
        """Make what the work needs, before anything is counted; ``members`` is the list of the cgroup to do it in, empty for our own."""
        self._ask("prepare", family, folder, members)

    def work(self, family: str, folder: str, members: str, hold: float, *, whole: bool) -> Report:
        """Do the known work and return what it was."""
        return Report.from_json(self._ask("work", family, folder, members, hold=hold, whole=whole))

    def tight(self, family: str, folder: str, members: str, number: int) -> float:
        """Return the ns that one of the cheapest operations takes."""
        return float(self._ask("tight", family, folder, members, number=number)) / number

    def close(self) -> None:
        """End it, in the middle of whatever it does."""
        self._process.kill()
        with suppress(OSError):
            self._throttle.lift()
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_PATIENCE)

    def _ask(self, do: str, family: str, folder: str, members: str, **more: Any) -> Any:
        order = {"do": do, "family": family, "folder": folder, "join": members, "hold": 0.0, "whole": True, **more}
        order["throttle"] = asdict(self._throttle)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkloadError(self._epitaph()) from error
        reply = json.loads(self._line())
        if "error" in reply:
            raise WorkloadError(reply["error"])
        return reply["answer"]

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise WorkloadError("it is not done in time")
            got = os.read(fd, 1 << 16)
            if not got:
                raise WorkloadError(self._epitaph())
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _epitaph(self) -> str:
        code = self._process.wait(_PATIENCE)
        words = self._process.stderr.read().decode(errors="replace").strip().splitlines() if self._process.stderr else []
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return f"its process ended {how}{f': {words[-1]}' if words else ''}"
