"""Trees of files that pass for procfs, sysfs and cgroup hierarchies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["make"]


def make(root: Path, files: Mapping[str, str]) -> str:
    """Write files below a folder by their relative paths, and return the folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)
