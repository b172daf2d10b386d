"""Bundles that were recorded: answers of the API, capsules, state files, alone, in a list or one a line; as they are or compressed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from perflens.analysis import Bundle, Incident
from perflens.analyzer.codec import BadDocument, decoded
from perflens.analyzer.shapes import bundle_of, incident_of

__all__ = ["LARGEST", "BadRecord", "Record", "records_of"]

LARGEST = 64 << 20
"""Bytes of a file, after it was decompressed."""

_GZIP = b"\x1f\x8b"
_CAPSULE = "perflens_capsule"
_LISTS = ("analyses", "incidents")
_WHAT = "a bundle, an incident, an answer of the API or a capsule"


class BadRecord(ValueError):
    """A file that holds no bundles: ``line`` is where, 0 for the whole of it."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Record:
    """A bundle, and where in the file it stands."""

    place: str
    bundle: Bundle


def records_of(content: bytes) -> list[Record]:
    """Return the bundles of a file; BadRecord when it is none, or has more than LARGEST bytes."""
    text = _text(_decompressed(content))
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise BadRecord("is nested too deeply") from error
    except ValueError as error:
        if not _is_json(text.lstrip().partition("\n")[0]):
            raise _no_json(error) from error
        return [record for number, line in enumerate(text.splitlines(), 1) if line.strip() for record in _of_line(line, number)]
    return _listed(document, "", 0)


def _decompressed(content: bytes) -> bytes:
    if content.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadRecord(f"cannot be decompressed: {error}") from error
    if len(content) > LARGEST:
        raise BadRecord(f"has more than {LARGEST} bytes")
    return content


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"is no UTF-8 at byte {error.start}") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _of_line(line: str, number: int) -> list[Record]:
    try:
        document = json.loads(line)
    except RecursionError as error:
        raise BadRecord("is nested too deeply", number) from error
    except ValueError as error:
        raise _no_json(error, number) from error
    return _listed(document, f"line {number}", number)


def _no_json(error: ValueError, line: int = 0) -> BadRecord:
    at = f"at character {error.colno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
    found = error.lineno if isinstance(error, json.JSONDecodeError) else 0
    reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
    return BadRecord(f"is no JSON {at}: {reason}", line or found)


def _listed(document: Any, place: str, line: int) -> list[Record]:
    try:
        found = list(_records(document, place))
    except BadDocument as error:
        raise BadRecord(str(error), line) from error
    except RecursionError as error:
        raise BadRecord("is nested too deeply", line) from error
    return found


def _records(document: Any, place: str) -> Iterator[Record]:
    if isinstance(document, list):
        for number, own in enumerate(document, 1):
            yield from _records(own, _within(place, f"entry {number}"))
        return
    if not isinstance(document, dict):
        raise BadDocument(f"{place or 'it'} is not {_WHAT}")
    if _CAPSULE in document:
        yield from _records(document.get("analyses"), _within(place, "analyses"))
        return
    listed = [key for key in _LISTS if isinstance(document.get(key), list)]
    if listed:
        for key in listed:
            yield from _records(document[key], _within(place, key))
        return
    try:
        yield Record(place or "the file", _one(document))
    except BadDocument as error:
        raise BadDocument(f"{place or 'it'}: {error}") from error


def _one(document: dict[str, Any]) -> Bundle:
    """A bundle or an incident, as the API shows it or as a state file has it."""
    if "analysis" in document:
        return incident_of(document).bundle
    if "start_time_ns" in document:
        return bundle_of(document)
    if "bundle" in document:
        return decoded(Incident, document).bundle
    if "hypotheses" in document:
        return decoded(Bundle, document)
    raise BadDocument(f"is not {_WHAT}")


def _within(place: str, own: str) -> str:
    return f"{place}, {own}" if place else own
