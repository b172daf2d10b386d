"""A capsule: what one agent's API knew at one moment, as one file that opens on another machine.

The file is gzipped JSON. Its members beside ``perflens_capsule`` (the version of this form), ``made_at`` and ``build`` are the answers
of the API, whole and unchanged: ``events`` is what /api/v1/events answers, and so on.
"""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from perflens.errors import ConfigError, Problem
from perflens.http.conform import problems
from perflens.http.openapi import ENDPOINTS, document
from perflens.plain import NotPlain, open_plain

__all__ = ["MEMBERS", "VERSION", "Capsule", "decoded", "encoded", "read", "write"]

VERSION = 1
MEMBERS: Mapping[str, str] = {endpoint.name: endpoint.path for endpoint in ENDPOINTS}
"""The path below /api/v1 of each member."""

LARGEST_FILE, LARGEST = 16 << 20, 64 << 20
"""Bytes of a file, and of what it holds: a full one has less than a tenth of that."""

_HEAD = ("perflens_capsule", "made_at", "build")
_NEW = "make it anew with perflens capsule"


@dataclass(frozen=True, slots=True)
class Capsule:
    """What a file holds: when it was made (RFC 3339), by which version of PerfLens, and the answers of the API by member."""

    made_at: str
    build: str
    members: Mapping[str, Any]


def encoded(capsule: Capsule) -> bytes:
    """Return the bytes of its file; the same ones for the same capsule. ConfigError when nobody could read it."""
    head = {"perflens_capsule": VERSION, "made_at": capsule.made_at, "build": capsule.build}
    text = json.dumps({**head, **capsule.members}, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packer.compress(text.encode("ascii")) + packer.flush()
    if len(text) > LARGEST or len(packed) > LARGEST_FILE:
        _refuse("the capsule", f"would be larger than {LARGEST >> 20} MiB", "leave other incidents out with --incident")
    return packed


def write(path: str, capsule: Capsule) -> None:
    """Write a file that only its owner may read, whole or not at all; ConfigError when it cannot be written."""
    own = f"{path}.{secrets.token_hex(4)}"
    try:
        handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(encoded(capsule))
            os.replace(own, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(own)
            raise
    except OSError as error:
        raise ConfigError((Problem(path, "", f"cannot be written: {error.strerror}", "name another file with --output"),)) from error


def read(path: str) -> Capsule:
    """Return what a file holds; ConfigError with one problem when it cannot be read, is no capsule, or is too large."""
    try:
        with open_plain(path) as file:
            packed = file.read(LARGEST_FILE + 1)
    except NotPlain:
        _refuse(path, "is no plain file", "name a file that perflens capsule has written")
    except OSError as error:
        raise ConfigError((Problem(path, "", f"cannot be read: {error.strerror}", "name a file that you may read"),)) from error
    return decoded(packed, path)


def decoded(packed: bytes, name: str) -> Capsule:
    """Return what the bytes of a file hold, or raise as ``read`` does; ``name`` is how an error calls them."""
    value = _parsed(_unpacked(packed, name), name)
    if not isinstance(value, dict) or "perflens_capsule" not in value:
        _refuse(name, "is no capsule", "name a file that perflens capsule has written")
    if value["perflens_capsule"] != VERSION:
        _refuse(name, f"is of version {str(value['perflens_capsule'])[:20]!r}, not {VERSION}", "open it with the perflens that made it")
    build = value.get("build")
    for member in (*_HEAD, *MEMBERS):
        if member not in value:
            _refuse(name, f"lacks {member}", _NEW)
    if not isinstance(build, str) or not isinstance(value["made_at"], str):
        _refuse(name, "does not say when and by what it was made", _NEW)
    members = {own: value[own] for own in MEMBERS}
    whole = document()
    for endpoint in ENDPOINTS:
        wrong = next(problems(members[endpoint.name], endpoint.answer, whole, endpoint.name, lenient=True), None)
        if wrong:
            _refuse(name, wrong, f"open it with the perflens that made it: {build[:40]!r}")
    return Capsule(value["made_at"], build, members)


def _unpacked(packed: bytes, name: str) -> bytes:
    if len(packed) > LARGEST_FILE:
        _refuse(name, f"is larger than {LARGEST_FILE >> 20} MiB", _NEW)
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = unpacker.decompress(packed, LARGEST + 1)
    except zlib.error:
        _refuse(name, "is not gzipped, or damaged", "name a file that perflens capsule has written")
    if len(found) > LARGEST:
        _refuse(name, f"unpacks to more than {LARGEST >> 20} MiB", _NEW)
    if not unpacker.eof or unpacker.unused_data:
        _refuse(name, "is cut off" if not unpacker.eof else "goes on after its end", _NEW)
    return found


def _parsed(text: bytes, name: str) -> Any:
    def constant(_: str) -> NoReturn:
        raise ValueError

    try:
        return json.loads(text.decode("utf-8"), parse_constant=constant)
    except (ValueError, RecursionError):
        _refuse(name, "holds no JSON", "name a file that perflens capsule has written")


def _refuse(name: str, message: str, cure: str) -> NoReturn:
    raise ConfigError((Problem(name, "", message, cure),)) from None
