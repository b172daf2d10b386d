"""capability.py: what is needed for what, and until when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perflens.capability import NAMES, NEEDS, listed, needed

HEADER = Path("/usr/include/linux/capability.h")
LASTING = {"SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE"}


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's headers for user space")
def test_names_have_the_numbers_of_the_kernel() -> None:
    """A capability's place in NAMES is its number."""
    found = {int(number): name for name, number in re.findall(r"^#define CAP_(\w+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)}

    assert found == dict(enumerate(NAMES))


@pytest.mark.parametrize(
    ("has", "maps", "expected"),
    [
        (NAMES, False, LASTING),
        (NAMES, True, {*LASTING, "BPF"}),
        (("BPF", "PERFMON"), True, {"BPF"}),
        (("BPF", "PERFMON"), False, set()),
        (("SYS_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE"), True, {"SYS_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE"}),
        (("SYS_ADMIN", "CHECKPOINT_RESTORE"), False, {"CHECKPOINT_RESTORE"}),
        ((), True, set()),
    ],
)
def test_what_is_needed_when_the_probes_are_attached(has: tuple[str, ...], maps: bool, expected: set[str]) -> None:
    """PERFMON and SYS_RESOURCE are not; BPF where tables need it; what stands for a capability that is not there stays in its place."""
    assert needed(has, maps=maps) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "none"),
        (("SYSLOG", "BPF"), "SYSLOG,BPF"),
        (NAMES, "all"),
        (set(NAMES) - {"SYS_RESOURCE", "BPF"}, "all but SYS_RESOURCE,BPF"),
    ],
)
def test_in_words(names: set[str], expected: str) -> None:
    """In the kernel's order, and the other way round where most are there."""
    assert listed(names) == expected


def test_the_document_has_each() -> None:
    """docs/capabilities.md has a row for each capability that is needed, with what is lost without it."""
    text = (Path(__file__).parents[2] / "docs/capabilities.md").read_text()
    rows = dict(re.findall(r"^\| `CAP_(\w+)` \| (.*) \|$", text, re.MULTILINE))

    assert list(rows) == [own.name for own in NEEDS]
    for own in NEEDS:
        assert all(lost in rows[own.name] for lost in own.lost)
        assert f"`CAP_{own.instead}`" in rows[own.name] or not own.instead
