"""selftest/show.py: a table, an object and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

from perflens import __version__
from perflens.selftest import show
from perflens.selftest.case import Owner
from perflens.selftest.model import Check
from perflens.selftest.proof import Ground
from tests.unit.selftest.cases import DISK, OWN, UNTHROTTLED

GROUND = Ground(Path("/data/own"), DISK, Owner(OWN, f"{OWN}/beside"), "", "", 0.0, UNTHROTTLED)
GOOD = Check("disk", "count", "3", "3", "ok")
BAD = Check("disk", "owner", "3", "evil\x1b[2J", "failed", "it is wrong; mend it")
LEFT_OUT = Check("disk", "stack", "", "", "skipped", "none here")


def test_lines() -> None:
    """Reason and cure stand below a line, and what a terminal would obey is escaped."""
    assert show.line(GOOD).split() == ["disk", "count", "3", "3", "ok"]
    assert show.header().split() == ["family", "check", "expected", "found", "verdict"]
    lines = show.line(BAD).splitlines()
    assert "evil\\x1b[2J" in lines[0]
    assert [line.strip() for line in lines[1:]] == ["it is wrong", "mend it"]


def test_exit_codes() -> None:
    """0 only if something was proven and nothing failed."""
    assert show.worst([GOOD, LEFT_OUT]) == 0
    assert show.worst([GOOD, BAD]) == 1
    assert show.worst([LEFT_OUT]) == show.worst([]) == 1
    assert show.summary([GOOD, GOOD, BAD, LEFT_OUT]).strip() == "2 ok, 1 failed, 1 skipped"


def test_announcement() -> None:
    """What will be written and where, and whose the work is."""
    shared = Ground(Path("/data/own"), DISK, Owner(shared="none can be made"), "", "", 0.0, UNTHROTTLED)

    assert f"perflens {__version__} on " in show.announced(GROUND, 64, 15.0)
    assert "writes at most 64 MiB to /data/own (ext4 on /dev/sda1), and takes at most 15 s\n" in show.announced(GROUND, 64, 15.0)
    assert "works in a cgroup of its own, /own\n" in show.announced(GROUND, 64, 15.0)
    assert "works in its own cgroup; none can be made\n" in show.announced(shared, 64, 15.0)


def test_json() -> None:
    """One object with everything."""
    found = json.loads(show.as_json([GOOD, BAD], GROUND))

    assert set(found) == {"ok", "host", "kernel", "version", "folder", "fs", "device", "owner", "families", "checks"}
    assert (found["ok"], found["families"], found["owner"], found["device"]) == (False, ["disk"], OWN, "8:1")
    assert found["checks"][1] == {
        "family": "disk",
        "name": "owner",
        "expected": "3",
        "found": "evil\x1b[2J",
        "verdict": "failed",
        "reason": "it is wrong; mend it",
    }
