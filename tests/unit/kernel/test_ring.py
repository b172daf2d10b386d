"""A ring of events that cannot be mapped."""

from __future__ import annotations

import os
import resource

import pytest

from perflens.errors import ProbeError
from perflens.kernel.ring import map_ring


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("free", [0, 1])
def test_no_file_stays_open_of_a_ring_that_is_mapped_in_part(free: int) -> None:
    """Each of its two mappings takes a descriptor; the limit is one of their numbers."""
    memory = os.memfd_create("ring")
    os.truncate(memory, 1 << 20)
    lowest = os.dup(memory)
    os.close(lowest)
    limits, before = resource.getrlimit(resource.RLIMIT_NOFILE), _open_files()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, limits[1]))
    try:
        with pytest.raises(ProbeError, match=r"^cannot map events: Too many open files") as told:
            map_ring("events", memory, 1 << 12)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert _open_files() == before
    assert "LimitNOFILE=" in told.value.cure
    os.close(memory)
