"""A recording of `perflens capsule` as a source: the same answers, from a file."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perflens.errors import ConfigError, Problem
from perflens.tui.source import Unavailable
from perflens.tui.text import clean

__all__ = ["Recording", "opened"]

_FLAG = "--replay"
_LARGEST = 256 << 20
_VERSION = 1
_LISTS = {
    "events": "events",
    "stacks": "stacks",
    "incidents": "incidents",
    "analyses": "analyses",
    "timeline": "seconds",
    "process_tree": "processes",
}
_MOMENTS = ("recorded_time_seconds", "time_seconds", "created_time_seconds", "recorded_at", "created_at", "time")


class Recording:
    """The answers of a file; parameters that choose among entries are kept to as the agent does."""

    def __init__(self, name: str, parts: Mapping[str, Any]) -> None:
        self.name, self._parts = clean(name), parts
        self.recorded = _moment(parts)

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Return what was recorded; Unavailable when it was not."""
        part = path.replace("-", "_")
        own = self._parts.get(part)
        if own is None:
            raise Unavailable(f"the recording has no {part}")
        field = _LISTS.get(part)
        if field and isinstance(own, list):
            own = {field: own}
        if part == "events" and isinstance(own, dict):
            own = {"events": [event for event in own.get("events") or () if _is_wanted(event, query)]}
        return own

    async def close(self) -> None:
        """Hold nothing."""


def _is_wanted(event: Any, query: Mapping[str, str]) -> bool:
    if not isinstance(event, dict):
        return False
    process = event.get("process")
    pid = process.get("pid") if isinstance(process, dict) else None
    in_progress = str(event.get("in_progress") is True).lower()
    return query.get("in_progress", "false") == in_progress and query.get("pid", str(pid)) == str(pid)


def _moment(parts: Mapping[str, Any]) -> float:
    """When it was recorded: as it says, else the last second of its timeline."""
    build = parts.get("build")
    for holder in (parts, build if isinstance(build, dict) else {}):
        for name in _MOMENTS:
            own = holder.get(name)
            if isinstance(own, int | float) and 0 < own < 1 << 40:
                return float(own)
            if isinstance(own, str) and (read := _iso(own)):
                return read
    timeline = parts.get("timeline")
    seconds = timeline.get("seconds") if isinstance(timeline, dict) else timeline
    last = seconds[-1] if isinstance(seconds, list) and seconds else {}
    own = last.get("time_seconds") if isinstance(last, dict) else 0
    return float(own) if isinstance(own, int | float) and 0 < own < 1 << 40 else 1.0


def _iso(text: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def opened(path: str) -> Recording:
    """Return the recording in a file, gzip or not; ConfigError when it is none."""
    try:
        raw = Path(path).read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise _refused(path, "is too large", f"record less than {_LARGEST >> 20} MiB")
        parts = json.loads(raw)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror or error}", "name a file that `perflens capsule` has written") from error
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise _refused(path, "holds no JSON", "name a file that `perflens capsule` has written") from error
    version = parts.get("perflens_capsule") if isinstance(parts, dict) else None
    if version is None:
        raise _refused(path, "is no capsule", "name a file that `perflens capsule` has written")
    if version != _VERSION:
        raise _refused(path, f"has version {clean(str(version), 32)}, and this perflens reads {_VERSION}", "use the perflens that wrote it")
    return Recording(Path(path).name, parts)


def _refused(path: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(_FLAG, "", f"{clean(path)} {message}", cure),))
