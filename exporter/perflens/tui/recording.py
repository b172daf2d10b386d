"""A recording of `perflens capsule` as a source: the same answers, from a file."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from perflens.errors import ConfigError, Problem
from perflens.plain import NotPlain, open_plain
from perflens.tui.source import Unavailable
from perflens.tui.text import clean

__all__ = ["Recording", "opened"]

_FLAG = "--replay"
_LARGEST = 64 << 20
_VERSION = 1


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
        events = own.get("events") if part == "events" and isinstance(own, dict) else None
        return {"events": [event for event in events if _is_wanted(event, query)]} if isinstance(events, list) else own

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
    """When it was recorded, in seconds since 1970; 1 when it does not say."""
    try:
        return datetime.fromisoformat(parts["made_at"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return 1.0


def opened(path: str) -> Recording:
    """Return the recording in a file, gzip or not; ConfigError when it is none."""
    try:
        with open_plain(path) as file:
            raw = file.read(_LARGEST + 1)
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(raw)) as unpacked:
                raw = unpacked.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise _refused(path, "is too large", f"record less than {_LARGEST >> 20} MiB")
        parts = json.loads(raw)
    except NotPlain:
        raise _refused(path, "is no plain file", "name a file that `perflens capsule` has written") from None
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
