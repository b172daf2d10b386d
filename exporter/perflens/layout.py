"""Memory layouts as read from an object's BTF: no struct of the kernel side is written down in Python."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perflens.errors import LayoutError

__all__ = ["Field", "Layout", "Variable", "enum_labels"]

_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Field:
    """One member: ``offset`` and ``size`` in bytes of the whole member, ``count`` elements when it is an array."""

    name: str
    offset: int
    size: int
    count: int
    signed: bool
    typename: str
    layout: Layout | None = None

    @property
    def code(self) -> str:
        """Return the member's code for the struct module; LayoutError for what has none."""
        if self.layout is not None:
            raise LayoutError(f"{self.name} is a struct")
        if self.typename == "char" and self.count > 1:
            return f"{self.size}s"
        code = _UNSIGNED.get(self.size // self.count) if self.count and not self.size % self.count else None
        if code is None:
            raise LayoutError(f"{self.name}: {self.size} bytes of {self.count} elements have no code")
        return (f"{self.count}" if self.count > 1 else "") + (code.lower() if self.signed else code)


@dataclass(frozen=True, slots=True)
class Layout:
    """A struct: its name, its size in bytes and its members by name, in order."""

    name: str
    size: int
    fields: Mapping[str, Field]

    def __getitem__(self, name: str) -> Field:
        try:
            return self.fields[name]
        except KeyError:
            raise LayoutError(f"struct {self.name} has no member {name}: it has {', '.join(self.fields)}") from None

    def unpacker(self, *names: str) -> struct.Struct:
        """Return a Struct that reads the named members, in the order of their offsets, and skips the rest."""
        parts, at = ["<"], 0
        for field in sorted((self[name] for name in names), key=lambda field: field.offset):
            if not at <= field.offset <= self.size - field.size:
                raise LayoutError(f"struct {self.name}: {field.name} overlaps another member or the end")
            parts.append(f"{field.offset - at}x{field.code}")
            at = field.offset + field.size
        return struct.Struct("".join(parts) + f"{self.size - at}x")

    def holes(self) -> tuple[tuple[int, int], ...]:
        """Return the padding as (first byte, byte after the last)."""
        found, at = [], 0
        for field in sorted(self.fields.values(), key=lambda field: field.offset):
            if field.offset > at:
                found.append((at, field.offset))
            at = field.offset + field.size
        return (*found, (at, self.size)) if at < self.size else tuple(found)


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable of an object: the section it lives in, its place there and its shape as a Field."""

    section: str
    field: Field


def enum_labels(name: str, members: Mapping[str, int], *, exclude: frozenset[str] = frozenset()) -> Mapping[int, str]:
    """Return an enum's label values by number: FILE_SYNC_RANGE of file_operation is ``sync_range``.

    The members share a prefix up to the first underscore; those in ``exclude`` (counts at the end of an enum) are left out.
    """
    labels = {}
    for member, number in members.items():
        _, _, label = member.partition("_")
        if not label:
            raise LayoutError(f"enum {name}: {member} has no PREFIX_")
        if member not in exclude:
            labels[number] = label.lower()
    return MappingProxyType(labels)
