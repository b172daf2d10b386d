"""What several causes ask of a disk."""

from __future__ import annotations

from perflens.analyzer.conditions import AllOf, Condition

__all__ = ["IN_BURSTS", "crowded"]

IN_BURSTS = AllOf(
    (
        Condition("device.utilization", 0.2, 0.4),
        Condition("device.queue", 4, 12),
        Condition("device.latency", 2, 4, of="ratio", missing=0.8),
    )
)
"""Its requests come in bursts so large that they fill its queue, and it rests between them."""


def crowded(least: float) -> AllOf:
    """More requests than usual, of at least so many, that make each other slow: a busy disk that is as fast as ever has room."""
    return AllOf(
        (
            Condition("device.queue", 2, 4, of="ratio", least=least),
            Condition("device.latency", 1.2, 2, of="ratio", missing=0.8),
        )
    )
