"""Stacks of the API as folded stacks: ``unit;probe.operation;outermost;…;leaf value``, as flamegraph.pl and speedscope read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from perflens.reports.text import shortened

__all__ = ["KERNEL", "Kind", "Weight", "folded", "text"]

Kind = Literal["kernel", "user", "both"]
Weight = Literal["time", "count"]
Stacks = Mapping[tuple[str, ...], int]

KERNEL = "_[k]"
"""How a frame of the kernel ends, by the convention of flamegraph.pl."""

_LONGEST_FRAME, _MOST_FRAMES = 256, 127
_OFFSET = re.compile(r"\+0x[0-9a-f]+(?= \[|$)")


def folded(stacks: Iterable[Mapping[str, Any]], kind: Kind = "both", weight: Weight = "time") -> dict[tuple[str, ...], int]:
    """Return the value of each stack, the outermost frame first: ns of slow time, or operations.

    Offsets within functions are left out, so that stacks of the same functions are one. A stack without frames of the kind that is
    asked for keeps its operation and its value: the sum is the same for each kind.
    """
    found: dict[tuple[str, ...], int] = {}
    for own in stacks:
        frames = (
            *(_function(frame) for frame in reversed(own["user_stack"][:_MOST_FRAMES] if kind != "kernel" else ())),
            *(_function(frame) + KERNEL for frame in reversed(own["kernel_stack"][:_MOST_FRAMES] if kind != "user" else ())),
        )
        key = (_frame(own["owner"]) or "-", _frame(f"{own['probe']}.{own['operation']}"), *frames)
        found[key] = found.get(key, 0) + (own["total_ns"] if weight == "time" else own["count"])
    return found


def text(stacks: Stacks, weight: Weight = "time") -> str:
    """Return one line for each stack, those with the most first; time is in whole µs."""
    size = 1_000 if weight == "time" else 1
    ordered = sorted(stacks.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{';'.join(frames)} {round(value / size)}\n" for frames, value in ordered)


def _function(frame: str) -> str:
    return _frame(_OFFSET.sub("", frame)) or "-"


def _frame(name: str) -> str:
    """A name that neither ends a frame nor a line."""
    return shortened(name, _LONGEST_FRAME).replace(";", ":")
