"""The rows that are wanted and what became of them; on disk, so that a kill at any step loses and doubles nothing.

The file has one JSON document a line: its format and a digest of the server's URL, then the rows. It is replaced as a whole.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from perflens.annotate.rows import Row, Sent, decode, digest, encode
from perflens.logs import fields

__all__ = ["DAY", "Outbox", "trim"]

_log = logging.getLogger(__name__)

DAY = 86_400_000
_FORMAT = "perflens.outbox/1"
_MOST_ROWS = 256
_MOST_BYTES = 1 << 20


class Outbox:
    """Rows by key, in the order in which they were admitted. ``server`` is the URL whose ids they have; times in ms."""

    def __init__(self, path: str = "", server: str = "", on_dropped: Callable[[str], None] = lambda reason: None) -> None:
        self._path, self._server, self._on_dropped = path, digest(server), on_dropped
        self._rows: dict[str, Row] = {}
        self._written = b""
        self._is_failing = False
        if path:
            self._load()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows."""
        return tuple(self._rows.values())

    def get(self, key: str) -> Row | None:
        """Return a row; None when it is gone."""
        return self._rows.get(key)

    def latest(self, incident: str) -> Row | None:
        """Return the row of an incident that began last."""
        own = [row for row in self._rows.values() if row.wanted.incident == incident]
        return max(own, key=lambda row: row.wanted.time, default=None)

    def put(self, row: Row) -> None:
        """Set a row; ``save`` writes it."""
        self._rows[row.key] = row

    async def save(self, now: int) -> None:
        """Drop what there is no room for and write the rest; a disk that takes nothing leaves the rows in memory."""
        kept, dropped = trim(self.rows, now)
        self._rows = {row.key: row for row in kept}
        for reason in dropped:
            self._on_dropped(reason)
        data = self._document()
        if self._path and data != self._written:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        try:
            await asyncio.to_thread(write_private, self._path, data)  # a slow disk, which is what incidents are of, must not stop the loop
        except OSError as error:
            if not self._is_failing:
                _log.warning("unsent annotations are kept in memory alone", extra=fields(file=self._path, reason=error.strerror))
            self._is_failing = True
        else:
            self._written, self._is_failing = data, False

    def _document(self) -> bytes:
        head = json.dumps({"format": _FORMAT, "server": self._server})
        return "".join(f"{line}\n" for line in (head, *map(encode, self._rows.values()))).encode()

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                head, *lines = file.read(2 * _MOST_BYTES).decode().removesuffix("\n").split("\n")
            is_same = _same_server(head, self._server)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            self._set_aside(str(error))
            return
        self._fill(lines, is_same)

    def _fill(self, lines: Iterable[str], is_same: bool) -> None:
        """Take the lines that are rows. On another server their ids would be of other annotations."""
        broken = 0
        for line in lines:
            try:
                row = decode(line)
            except (ValueError, RecursionError):
                broken += 1
                continue
            if is_same:
                self.put(row)
            elif row.is_open or row.is_pending:
                self.put(replace(row, sent=Sent(), doubt=False, again=False))
        if broken:
            self._set_aside(f"{broken} lines are no rows")

    def _set_aside(self, reason: str) -> None:
        with suppress(OSError):
            os.replace(self._path, f"{self._path}.broken")
        _log.warning("the file of unsent annotations is broken and was set aside", extra=fields(file=self._path, reason=reason))


def _same_server(head: str, server: str) -> bool:
    """Whether the ids of a file are of this server; ValueError when it is no outbox."""
    data = json.loads(head)
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ValueError(f"the format is not {_FORMAT}")
    return data.get("server") == server


def write_private(path: str, data: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone. A kill needs no fsync; after a loss of power rows are found by their tags."""
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.write(data)
    os.replace(f"{path}.new", path)


def trim(rows: Iterable[Row], now: int) -> tuple[list[Row], list[str]]:
    """Return the rows that stay, and for each that is lost unsent the reason: ``expired`` for those over a day, else ``overflow``.

    Rows that are done are kept for a day, against a second row of the same incident and for the budget.
    """
    kept = [row for row in rows if not (_is_done(row) and _last(row) < now - DAY)]
    dropped: list[str] = []
    sizes = {row.key: len(encode(row).encode()) + 1 for row in kept}
    room = _MOST_BYTES - 256 - sum(sizes.values())
    for row in sorted(kept, key=lambda row: (_rank(row, now), _last(row))):
        if len(kept) <= _MOST_ROWS and room >= 0:
            break
        kept.remove(row)
        room += sizes[row.key]
        if row.is_pending:
            dropped.append("expired" if _rank(row, now) == 1 else "overflow")
    return kept, dropped


def _rank(row: Row, now: int) -> int:
    """What goes first: what nobody misses, then what is resolved and stale, and last what is open."""
    if _is_done(row):
        return 0
    if not row.is_open and not row.sent.id:
        return 1 if row.wanted.end < now - DAY else 3
    return 2 if row.fate else 4


def _is_done(row: Row) -> bool:
    return not row.is_open and not row.is_pending


def _last(row: Row) -> int:
    return max(row.wanted.end, row.admitted)
