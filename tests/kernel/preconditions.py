"""Takes one thing away from a host at a time, and asks what `perflens check` and an agent make of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perflens.registry import discover
from tests.kernel.support import PATIENCE, RunningAgent, agent, closed_ledger

__all__ = ["LEAST", "NOBODY", "Checked", "attached", "checked", "over", "running_without", "with_tracefs", "without", "without_mount"]

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon")
LEAST = ("setpriv", "--bounding-set=-all,+bpf,+perfmon")
"""Root with the two capabilities that every probe needs, and no others."""


def without(*capabilities: str) -> tuple[str, ...]:
    """Root without these capabilities, nor the one that would stand for them."""
    return ("setpriv", f"--bounding-set={','.join(f'-{name}' for name in (*capabilities, 'sys_admin'))}")


def without_mount(*points: str) -> tuple[str, ...]:
    """A mount namespace of its own in which nothing is mounted there, if anything was."""
    return ("unshare", "--mount", "sh", "-c", f'umount --recursive {" ".join(points)} 2>/dev/null; exec "$@"', "sh")


def over(point: str) -> tuple[str, ...]:
    """A mount namespace of its own in which this folder is empty."""
    return ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {point} && exec "$@"', "sh")


def with_tracefs() -> tuple[str, ...]:
    """A mount namespace of its own in which tracefs is where it belongs, as kernels mount it: for root alone."""
    return ("unshare", "--mount", "sh", "-c", 'mount -t tracefs none /sys/kernel/tracing && exec "$@"', "sh")


@dataclass(frozen=True)
class Checked:
    """What `perflens check` said: the names of its gaps, and every finding by name."""

    code: int
    report: Mapping[str, Any]

    @property
    def findings(self) -> dict[str, dict[str, Any]]:
        return {finding["name"]: finding for finding in self.report["findings"]}

    @property
    def gaps(self) -> set[str]:
        return {name for name, finding in self.findings.items() if finding["state"] == "gap"}


def checked(*prefix: str, environment: Mapping[str, str] | None = None) -> Checked:
    """Run the check; it must end by itself and print JSON, and nothing about a bug."""
    command = [*prefix, sys.executable, "-m", "perflens", "check", "--json"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    own = {**inherited, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * PATIENCE, env=own)
    assert done.stderr == "", done.stderr
    return Checked(done.returncode, json.loads(done.stdout))


def attached(running: RunningAgent) -> dict[str, int]:
    """Which probes an agent says it has."""
    page = closed_ledger(running.url)
    return {name: int(page.total("perflens_probe_attached", probe=name)) for name in discover()}


def running_without(folder: Path, *prefix: str) -> tuple[dict[str, int], str]:
    """Start an agent, scrape it and end it; return which probes it has, and its log."""
    with agent(folder, prefix=prefix) as running:
        found = attached(running)
        running.process.terminate()
        assert running.process.wait(10 * PATIENCE) == 0
    log = running.log.read_text()
    assert "Traceback" not in log
    return found, log
