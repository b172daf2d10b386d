"""A kernel in lockdown, as with Secure Boot: a condition that it does not take back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernel.preconditions import checked, running_without
from tests.vm.guest.test_preconditions import DISPOSABLE, NONE

LOCKDOWN = Path("/sys/kernel/security/lockdown")
pytestmark = pytest.mark.skipif(not DISPOSABLE, reason="changes settings of the kernel, for good: only in a guest")


@pytest.mark.parametrize("mode", ["integrity", "confidentiality"])
def test_mode(tmp_path: Path, mode: str) -> None:
    """In mode integrity nothing is lost, in mode confidentiality everything. A kernel does not go back to a milder one."""
    if not LOCKDOWN.exists():
        subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=False)
    if not LOCKDOWN.exists():
        pytest.skip("this kernel has no lockdown")
    LOCKDOWN.write_text(mode)
    found, locked = checked(), mode == "confidentiality"

    assert found.findings["lockdown"]["detail"].startswith(mode)
    assert found.code == int(locked)
    assert ("lockdown" in found.gaps) == locked
    if locked:
        assert running_without(tmp_path)[0] == NONE
