"""kernel/variables.py: what programs read while it is set."""

from __future__ import annotations

import mmap
import platform
from pathlib import Path

from perflens.kernel.attached import object_path, object_types
from perflens.kernel.variables import Variables

TYPES = object_types(object_path("file", platform.machine()))
SIZE = max(own.field.offset + own.field.size for own in TYPES.variables.values() if own.section == ".bss")


def test_what_is_set_is_read_back() -> None:
    variables = Variables(mmap.mmap(-1, SIZE), TYPES)
    variables.set("filter_cgroup", range(16))
    variables.set("woken", [1])

    assert variables.get("filter_cgroup") == tuple(range(16))
    assert variables.get("woken") == (1,)


def test_an_element_that_stays_is_not_touched(tmp_path: Path) -> None:
    """A program that reads an element meanwhile never finds another value in it: memory that refuses every write takes what it has."""
    file = tmp_path / "bss"
    with file.open("w+b") as opened:
        opened.truncate(SIZE)
        memory = mmap.mmap(opened.fileno(), SIZE)
        Variables(memory, TYPES).set("filter_cgroup", [7] * 16)
        memory.close()
        kept = Variables(mmap.mmap(opened.fileno(), SIZE, access=mmap.ACCESS_READ), TYPES)
        kept.set("filter_cgroup", [7] * 16)

    assert kept.get("filter_cgroup") == (7,) * 16
