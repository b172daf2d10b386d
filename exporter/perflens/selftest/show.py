"""What a selftest prints: a table for people, one object for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict

from perflens import __version__
from perflens.selftest.model import Check
from perflens.selftest.proof import Ground

__all__ = ["announced", "as_json", "header", "line", "summary", "worst"]

_WIDTHS = (9, 20, 28, 34)
_INDENT = " " * (_WIDTHS[0] + 1)


def announced(ground: Ground, megabytes: int, seconds: float) -> str:
    """What will happen, before it does."""
    disk, owner = ground.disk, ground.owner
    where = f"{ground.folder} ({disk.fs}{f' on {disk.source}' if disk.device else ', no disk'})"
    whose = f"a cgroup of its own, {owner.unit}" if owner.unit else f"its own cgroup; {owner.shared}"
    return (
        f"perflens {__version__} on {platform.node()}, kernel {platform.release()}\n"
        f"writes at most {megabytes} MiB to {where}, and takes at most {seconds:g} s\n"
        f"works in {whose}\n"
    )


def header() -> str:
    """The names of the columns."""
    return _row("family", "check", "expected", "found", "verdict")


def line(check: Check) -> str:
    """One check; below it why it is not ok, and the cure."""
    text = _row(*map(_shown, (check.family, check.name, check.expected, check.found)), check.verdict)
    return text + "".join(f"\n{_INDENT}{_shown(part.strip())}" for part in check.reason.split("; ") if part.strip())


def _row(*columns: str) -> str:
    return " ".join(text.ljust(width) for text, width in zip(columns, (*_WIDTHS, 0), strict=True)).rstrip()


def _shown(text: str) -> str:
    """Text of the kernel's or of an agent's without what a terminal would obey."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def worst(checks: Sequence[Check]) -> int:
    """Return the exit code: 1 when a check failed, or nothing was proven at all."""
    return int(any(check.verdict == "failed" for check in checks) or not any(check.verdict == "ok" for check in checks))


def summary(checks: Sequence[Check]) -> str:
    """How many of which verdict."""
    verdicts = [check.verdict for check in checks]
    return "\n" + ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("ok", "failed", "skipped"))


def as_json(checks: Sequence[Check], ground: Ground) -> str:
    """Everything, as one object in ASCII."""
    families = list(dict.fromkeys(check.family for check in checks))
    return json.dumps(
        {
            "ok": not worst(checks),
            "host": platform.node(),
            "kernel": platform.release(),
            "version": __version__,
            "folder": str(ground.folder),
            "fs": ground.disk.fs,
            "device": ground.disk.device,
            "owner": ground.owner.unit,
            "families": families,
            "checks": [asdict(check) for check in checks],
        },
        indent=2,
    )
