"""The incidents across a restart: one JSON file, written whole and put in place at once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from perflens.analysis import Incident, State
from perflens.analyzer.codec import BadDocument, decoded, encoded
from perflens.logs import fields

__all__ = ["StateFile", "ValuesFile"]

_log = logging.getLogger("perflens")

_SCHEMA = "perflens.incidents/1"
_LARGEST = 16 << 20
_KEPT = 50


class _Lasting(Protocol):
    """What opens, changes and ends."""

    @property
    def state(self) -> State: ...

    @property
    def updated(self) -> int: ...


T = TypeVar("T", bound=_Lasting)


class ValuesFile(Generic[T]):
    """Values of a ``kind`` in a file; without a path there is none. ``failed`` counts the times that it could not be written.

    ``schema`` is what the file says of itself, ``key`` the configuration key that names it.
    """

    def __init__(self, path: str, kind: type[T], schema: str, key: str, most: int = _KEPT) -> None:
        self._path, self._kind, self._schema, self._key, self._most = path, kind, schema, key, most
        self.failed = 0

    def read(self) -> list[T]:
        """Return what was written last; nothing when there is no file, or when it cannot be used, which is logged."""
        if not self._path:
            return []
        try:
            with open(self._path, "rb") as file:
                document = json.loads(file.read(_LARGEST))
            if not isinstance(document, dict) or document.get("schema") != self._schema:
                raise BadDocument(f"its schema is not {self._schema}")
            entries = document["incidents"]
            return [decoded(self._kind, own) for own in (entries if isinstance(entries, list) else [])]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, RecursionError) as error:
            reason = str(error)[:200]
            _log.warning("incidents of before cannot be read", extra=fields(path=self._path, reason=reason, cure="remove the file"))
            return []

    def write(self, incidents: Sequence[T]) -> None:
        """Replace what was written: of what has no room those go first that ended, the oldest before the newer ones."""
        if not self._path:
            return
        kept = sorted(incidents, key=lambda own: (own.state != "open", -own.updated))[: self._most]
        entries = _with_room(kept)
        text = f'{{"schema": {json.dumps(self._schema)}, "incidents": [{", ".join(entries)}]}}'
        if any(own.state == "open" for own in kept[len(entries) :]):
            self._fail(f"they have more than {_LARGEST >> 20} MiB")
        beside = f"{self._path}.new"
        try:
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except OSError as error:
            self._fail(error.strerror, f"set {self._key} to a file that can be written")
            with suppress(OSError):
                os.unlink(beside)

    def _fail(self, reason: str | None, cure: str = "none: those that changed last are kept") -> None:
        if not self.failed:
            _log.warning("incidents cannot be kept over a restart", extra=fields(path=self._path, reason=reason, cure=cure))
        self.failed += 1


def _with_room(values: Iterable[object]) -> list[str]:
    """The first values, as JSON, that a file has room for which is read back."""
    found: list[str] = []
    room = _LARGEST - 256
    for own in values:
        text = json.dumps(encoded(own))
        room -= len(text) + 2
        if room < 0:
            break
        found.append(text)
    return found


class StateFile(ValuesFile[Incident]):
    """The incidents of a host."""

    def __init__(self, path: str) -> None:
        super().__init__(path, Incident, _SCHEMA, "analyzer.state-file")
