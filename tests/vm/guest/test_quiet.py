"""What was done so far has not made the kernel complain; run before every rung is attached at once, which is nobody's use."""

from __future__ import annotations

from pathlib import Path

WARNED = 1 << 9  # Documentation/admin-guide/tainted-kernels.rst


def test_no_warning(tainted: int) -> None:
    """The kernel has warned of nothing since the tests began."""
    now = int(Path("/proc/sys/kernel/tainted").read_text())
    assert now & WARNED == tainted & WARNED
