"""The way of a newcomer, by the README's own commands: `make run`, `events --follow`, and the first slow operation with its name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.blocks import ROOT, blocks

MINUTES = 5


@contextmanager
def _begun(command: str, out: Path, **environment: str) -> Iterator[None]:
    """A command of the README in a clone, and all that it starts, until the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PERFLENS_", "MAKE"))}
    with out.open("wb") as file:
        own = subprocess.Popen(
            ["sh", "-c", command], cwd=ROOT, env={**inherited, **environment}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(own.pid, signal.SIGTERM)
        own.wait(30)


def _until(seen: Callable[[], re.Match[str] | None], out: Path, deadline: float) -> re.Match[str]:
    while not (found := seen()):
        assert time.monotonic() < deadline, out.read_text()
        time.sleep(0.1)
    return found


def test_the_first_five_minutes(tmp_path: Path) -> None:
    """The agent says that each probe is attached and where it listens; a large write is told with its process, its file and its wait.

    What is missing is installed by the same `make run`, which the gate does on a bare machine.
    """
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    begin = time.monotonic()
    deadline = begin + MINUTES * 60
    commands = [block.text.strip() for block in blocks(ROOT / "README.md") if block.language == "sh"]
    run, follow, write = commands[:3]
    agent, events = tmp_path / "agent", tmp_path / "events"

    with _begun(run, agent, ARGS=f"--web.listen-address=127.0.0.1:0 --analyzer.state-file={tmp_path}/incidents.json"):
        url = _until(lambda: re.search(r"listening on (http://[0-9.:]+)/metrics", agent.read_text()), agent, deadline)[1]
        with _begun(f"exec {follow} --url={url}", events):
            time.sleep(2)  # it follows from its first answer on
            subprocess.run(["sh", "-ec", write], check=True, timeout=60)
            row = _until(lambda: re.search(r"^.* dd\[\d+\] .*$", events.read_text(), re.MULTILINE), events, deadline)[0]

    assert (run, follow) == ("make run", ".venv/bin/perflens events --follow --probe=file")
    assert re.search(r"probe attached.* probe=file ", agent.read_text())
    assert re.search(r"^\S+Z +[\d.]+m?s file\.write +dd\[\d+\] \S+ /var/tmp/slow ", row)
    assert time.monotonic() - begin < MINUTES * 60
