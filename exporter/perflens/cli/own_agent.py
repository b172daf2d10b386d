"""An agent of the UI's own: a child on a free loopback port, which ends with the UI, whatever ends that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from perflens.client import Target
from perflens.config import Catalogue
from perflens.config.keys import leaves, tree
from perflens.errors import StartError
from perflens.kernel.lifetime import die_with_parent
from perflens.tui.source import HttpSource, Unavailable
from perflens.tui.text import clean

__all__ = ["OwnAgent", "arguments_of"]

_START_SECONDS = 60.0
_END_SECONDS = 10.0
_LISTENING = "listening on "
_OWN = {
    "--web.listen-address": "127.0.0.1:0",
    "--log.format": "logfmt",
    "--log.level": "info",
    "--web.config.file": "",
    "--web.telemetry-path": "/metrics",
}
_STATE_FILE = "--analyzer.state-file"


class OwnAgent:
    """`perflens run` with the flags that were given to the UI. Its log is a file of its own, kept when it failed.

    It is a process and not a part of this one: what its libraries print would spoil the screen, and the screen would wait for its harvests.
    """

    def __init__(self, given: Mapping[str, Sequence[str]], catalogue: Mapping[str, Catalogue]) -> None:
        self._arguments = arguments_of(given, catalogue)

    def __enter__(self) -> OwnAgent:
        descriptor, name = tempfile.mkstemp(prefix="perflens-top-", suffix=".log")
        self._log = Path(name)
        parent = os.getpid()
        with os.fdopen(descriptor, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "perflens", "run", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        try:
            self._base = self._listening()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def source(self) -> HttpSource:
        """Return what asks it."""
        return _OwnSource(Target.of(self._base), self)

    def ended(self) -> str:
        """Return how it ended and where its log is; empty while it runs."""
        code = self._process.poll()
        return "" if code is None else f"the agent has ended ({code}): {self._last()}; its log is {self._log}"

    def _listening(self) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            for text in self._log.read_text(errors="replace").splitlines():
                _, found, url = text.partition(_LISTENING)
                if found:
                    return url.split("/metrics")[0].rstrip('"')
            if self._process.poll() is not None:
                raise StartError(f"the agent did not start: {self._last().removeprefix('perflens: ')}")
            if time.monotonic() > deadline:
                raise StartError(f"the agent did not start within {_START_SECONDS:.0f} s; its log is {self._log}")
            time.sleep(0.05)

    def _last(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return clean(lines[-1]) if lines else "it said nothing"

    def _end(self) -> None:
        failed = self._process.poll() is not None
        if not failed:
            self._process.send_signal(signal.SIGTERM)
        try:
            failed |= bool(self._process.wait(_END_SECONDS))
        except subprocess.TimeoutExpired:
            failed = True
            self._process.kill()
            self._process.wait()
        if not failed:
            self._log.unlink(missing_ok=True)


class _OwnSource(HttpSource):
    """As every agent is asked; when it has ended that is the reason."""

    def __init__(self, target: Target, agent: OwnAgent) -> None:
        super().__init__(target)
        self.name, self._agent = "own agent", agent

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        try:
            return await super().get(path, query)
        except Unavailable as error:
            raise Unavailable(self._agent.ended() or str(error)) from None


def arguments_of(given: Mapping[str, Sequence[str]], catalogue: Mapping[str, Catalogue]) -> list[str]:
    """Return the flags of the child: those that were given, but an address, a log and a file of incidents of its own."""
    switches = {key.flag: key.off_flag for key in leaves(tree(catalogue)) if key.kind == "boolean"}
    arguments = [
        (flag if value == "true" else switches[flag]) if flag in switches else f"{flag}={value}"
        for flag, values in given.items()
        if flag not in _OWN
        for value in values
    ]
    arguments += [f"{flag}={value}" for flag, value in _OWN.items()]
    return arguments if _STATE_FILE in given else [*arguments, f"{_STATE_FILE}="]
