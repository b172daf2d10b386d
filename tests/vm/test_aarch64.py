"""The checks in guest/ on a kernel for aarch64, with the wheel that is cross-compiled: KERNELS=aarch64, on any machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUEST = ROOT / "tests" / "components" / "guest_aarch64"
UNAVAILABLE = 125
ASKED = "aarch64" in os.environ.get("KERNELS", "").split()
CHECKS = "tests/vm/guest/test_preconditions.py tests/vm/guest/test_attach.py tests/vm/guest/test_rungs.py"
WITHOUT = "not discards and not flushes"  # they need scsi_debug, which Debian does not build for aarch64

pytestmark = [
    pytest.mark.skipif(not ASKED, reason="boots another kernel, which takes a quarter of an hour: make test-vm KERNELS=aarch64"),
    pytest.mark.timeout(3_600),
]


def test_kernel_of_aarch64() -> None:
    """Every rung attaches, counts are exact, and what a kernel lacks is named."""
    fetched = subprocess.run([GUEST, "--fetch"], capture_output=True, text=True, check=False)
    if fetched.returncode == UNAVAILABLE:
        pytest.skip(fetched.stderr.strip())
    assert fetched.returncode == 0, fetched.stderr
    built = subprocess.run(["make", "wheel", "ARCH=aarch64"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (ROOT / "dist").glob("*_aarch64.whl")
    tests = f"python3 -m pytest {CHECKS} -k '{WITHOUT}' -p no:cacheprovider -o pythonpath='/wheel .' --timeout=900 --color=no"
    script = f"PERFLENS_GUEST=1 PERFLENS_TEST_PATIENCE=20 {tests}"
    done = subprocess.run([GUEST, wheel, "--", "sh", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
