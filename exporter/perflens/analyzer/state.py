"""The incidents across a restart: one JSON file, written whole and put in place at once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from perflens.analysis import Incident
from perflens.analyzer.codec import BadDocument, decoded, encoded
from perflens.logs import fields

__all__ = ["StateFile"]

_log = logging.getLogger("perflens")

_SCHEMA = "perflens.incidents/1"
_LARGEST = 16 << 20
_KEPT = 50


class StateFile:
    """Incidents in a file; without a path there is none. ``failed`` counts the times that it could not be written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.failed = 0

    def read(self) -> list[Incident]:
        """Return what was written last; nothing when there is no file, or when it cannot be used, which is logged."""
        if not self._path:
            return []
        try:
            with open(self._path, "rb") as file:
                document = json.loads(file.read(_LARGEST))
            if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
                raise BadDocument(f"its schema is not {_SCHEMA}")
            return list(decoded(tuple[Incident, ...], document["incidents"]))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, RecursionError) as error:
            reason = str(error)[:200]
            _log.warning("incidents of before cannot be read", extra=fields(path=self._path, reason=reason, cure="remove the file"))
            return []

    def write(self, incidents: Sequence[Incident]) -> None:
        """Replace what was written; open ones first, so that none of them is left out."""
        if not self._path:
            return
        kept = sorted(incidents, key=lambda own: (own.state != "open", -own.updated))[:_KEPT]
        text = json.dumps({"schema": _SCHEMA, "incidents": encoded(kept)})
        beside = f"{self._path}.new"
        try:
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except OSError as error:
            if not self.failed:
                _log.warning(
                    "incidents cannot be kept over a restart",
                    extra=fields(path=self._path, reason=error.strerror, cure="set analyzer.state-file to where the agent may write"),
                )
            self.failed += 1
            with suppress(OSError):
                os.unlink(beside)
