"""`perflens selftest` proves this kernel too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from perflens.registry import discover

SECONDS = 300
NOT_HERE = {("file", "cost")}  # a busy or emulated machine cannot tell


def test_it_passes(folder: Path) -> None:
    command = [sys.executable, "-m", "perflens", "selftest", "--json", f"--dir={folder}", f"--timeout={SECONDS}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * SECONDS, env=environment)
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert [check for check in checks if check["verdict"] == "failed"] == []
    assert {(check["family"], check["name"]) for check in checks if check["verdict"] == "skipped"} <= NOT_HERE
    assert {check["family"] for check in checks if check["name"] == "ledger"} == set(discover())
    assert done.returncode == 0
