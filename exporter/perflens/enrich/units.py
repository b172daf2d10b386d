"""The name that people use for a cgroup: its systemd unit, else its path."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["shown", "unit_of"]

_UNITS = (".service", ".scope", ".mount", ".socket", ".swap")
_NAME_LIMIT = 256
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")  # control characters, and bytes that are no UTF-8


def unit_of(path: Sequence[str]) -> str:
    """Return the systemd unit of a cgroup path given from the root down, else the path itself; ``/`` for the root.

    Only slices may stand above a unit: a service of a systemd inside a container must not pass for one of the host.
    Below a user manager (``user@1000.service``) the unit is named with it, since every user has units of the same names.
    """
    for depth, name in enumerate(path):
        if name.endswith(_UNITS):
            below = unit_of(path[depth + 1 :]) if name.startswith("user@") else "/"
            return shown(name if below.startswith("/") else f"{name}/{below}")
        if not name.endswith(".slice"):
            break
    return shown("/" + "/".join(path))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00 if code > 0xFF else code:02x}"


def shown(name: str) -> str:
    """Escape bytes that are no text, and keep the end of a name that is too long: the leaf tells more than the root."""
    name = _NO_TEXT.sub(_escape, name)
    return name if len(name) <= _NAME_LIMIT else "…" + name[1 - _NAME_LIMIT :]
