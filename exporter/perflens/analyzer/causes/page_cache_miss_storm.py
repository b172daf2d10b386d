"""Reads that the page cache used to serve go to the disk: it was emptied, or what runs now has not been read yet."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AllOf, AnyOf, Condition


def _missed(told: Condition) -> AllOf:
    """More is read from disks than usual, and not what had just been given up; ``told`` says that the page cache is in between."""
    return AllOf(
        (
            Condition("vm.read_in", 2, 4, role="host", of="ratio", least=1_000_000),
            told,
            Condition("vm.refaults", 1_000, 300, role="host", missing=0.8),
        )
    )


CAUSE = Cause(
    "PAGE_CACHE_MISS_STORM",
    "host",
    "Reads that the page cache served before go to the disk.",
    necessary=(
        Condition("wait.block_io", 0.3, 0.5, role="host"),
        AnyOf(
            (
                Condition("vm.cache_drops", 0, 1, role="host"),
                _missed(Condition("reads.buffered", 0.3, 0.6, role="host")),
                _missed(Condition("reads.cached", 0.2, 0.5, role="victim", of="fall")),
            )
        ),
    ),
    supporting=(Condition("vm.read_in", 1.5, 3, role="host", of="ratio", missing=0.5), Condition("vm.cache_drops", 0, 1, role="host")),
    explains=frozenset({"block_io", "unclassified", "remote"}),
    causes=frozenset({"DEVICE_SATURATION"}),
    actions=("A08", "A09"),
)
