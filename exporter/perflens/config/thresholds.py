"""The one flag that sets many keys: ``--threshold=5ms,read=1ms,file.fsync=20ms``."""

from __future__ import annotations

from perflens.config.keys import Key, Section, leaves
from perflens.config.layer import Layer
from perflens.config.wording import Refused, either, quoted, suggestion

__all__ = ["take_thresholds"]


def take_thresholds(layer: Layer, tree: Section, text: str, source: str) -> None:
    """Note every threshold of a comma separated list."""
    for item in text.split(","):
        name, equals, duration = item.strip().rpartition("=")
        try:
            key = target(tree, name.strip() if equals else None)
        except Refused as refused:
            layer.refuse(source, "threshold", refused.message, refused.cure)
        else:
            layer.take(key, duration.strip(), source)


def target(tree: Section, name: str | None) -> Key:
    """The key that a name means: ``file.read``, ``read`` where one probe alone has it, None for all operations."""
    entries = [key for key in leaves(tree) if key.entry]
    if name is None:
        return next(key for key in leaves(tree) if key.path == ("threshold",))
    found = [key for key in entries if name in (key.path[-1], full_name(key))]
    if not found:
        known = (each for key in entries for each in (key.path[-1], full_name(key)))
        raise Refused(f"unknown operation {quoted(name)}", suggestion(name, known, listed(entries)))
    if len(found) > 1:
        raise Refused(f"several probes have an operation {quoted(name)}", f"write {either(map(full_name, found))}")
    return found[0]


def full_name(key: Key) -> str:
    return f"{key.path[1]}.{key.path[-1]}"


def listed(entries: list[Key]) -> str:
    return f"write {either(map(full_name, entries))}" if entries else "leave it out: no probe has operations"
