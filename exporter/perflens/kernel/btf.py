"""The types of a compiled object, read from its .BTF section (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from perflens.errors import LayoutError
from perflens.kernel import elf
from perflens.layout import Field, Layout, Variable

__all__ = ["ObjectTypes", "prototype_parameters", "read_object"]

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_WORD = struct.Struct("<I")

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _VAR = 8, 9, 10, 11, 14
_ENUM64, _FUNC_PROTO, _DATASEC, _DECL_TAG = 19, 13, 15, 17
_TRAILER = {
    _INT: (4, 0),
    _ARRAY: (12, 0),
    _STRUCT: (0, 12),
    _UNION: (0, 12),
    _ENUM: (0, 8),
    _FUNC_PROTO: (0, 8),
    _VAR: (4, 0),
    _DATASEC: (0, 12),
    _DECL_TAG: (4, 0),
    _ENUM64: (0, 12),
}
"""Bytes after a type record by kind: fixed, and for each of its `vlen` members."""


class _Type(NamedTuple):
    name: str
    kind: int
    vlen: int
    size: int  # or the type it refers to
    trailer: bytes


@dataclass(frozen=True, slots=True)
class ObjectTypes:
    """The structs, enums and global variables of one object, by name."""

    structs: Mapping[str, Layout]
    enums: Mapping[str, Mapping[str, int]]
    variables: Mapping[str, Variable]

    def struct(self, name: str) -> Layout:
        """Return the layout of ``struct name``; LayoutError when the object has none."""
        if name not in self.structs:
            raise LayoutError(f"the object has no struct {name}")
        return self.structs[name]

    def enum(self, name: str) -> Mapping[str, int]:
        """Return the members of ``enum name``; LayoutError when the object has none."""
        if name not in self.enums:
            raise LayoutError(f"the object has no enum {name}")
        return self.enums[name]

    def variable(self, name: str) -> Variable:
        """Return the global variable ``name``; LayoutError when the object has none."""
        if name not in self.variables:
            raise LayoutError(f"the object has no variable {name}")
        return self.variables[name]


@dataclass(slots=True)
class _Reader:
    types: list[_Type] = field(default_factory=list)

    def resolve(self, index: int) -> tuple[int, str]:
        """Follow typedefs and qualifiers; return the type below and the first typedef's name."""
        alias = ""
        for _ in self.types:
            own = self.types[index]
            if own.kind not in (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT):
                return index, alias
            alias = alias or (own.name if own.kind == _TYPEDEF else "")
            index = own.size
        raise LayoutError(f"damaged BTF: {alias or 'a qualifier'} refers to itself")

    def field(self, name: str, offset: int, index: int) -> Field:
        index, alias = self.resolve(index)
        kind = self.types[index]
        if kind.kind == _ARRAY:
            element, _, count = struct.unpack("<III", kind.trailer)
            one = self.field(name, offset, element)
            return Field(name, offset, one.size * count, count, one.signed, one.typename, one.layout)
        if kind.kind == _STRUCT:
            return Field(name, offset, kind.size, 1, False, alias or kind.name, self.layout(index))
        if kind.kind == _PTR:
            return Field(name, offset, 8, 1, False, alias or "pointer")
        if kind.kind == _INT:
            encoding = _WORD.unpack(kind.trailer)[0] >> 24
            return Field(name, offset, kind.size, 1, bool(encoding & 1) and kind.name != "char", alias or kind.name)
        if kind.kind == _ENUM:
            return Field(name, offset, kind.size, 1, False, alias or kind.name)
        raise LayoutError(f"{name}: BTF kind {kind.kind} is not supported in a shared struct")

    def layout(self, index: int) -> Layout:
        own = self.types[index]
        fields = {}
        for name_offset, type_index, bits in _MEMBER.iter_unpack(own.trailer):
            name = self.name(name_offset)
            if bits % 8 or (own.vlen and own.trailer and bits >> 24):
                raise LayoutError(f"struct {own.name}: {name} is a bit-field, which is not supported")
            fields[name] = self.field(name, bits // 8, type_index)
        return Layout(own.name, own.size, MappingProxyType(fields))

    strings: bytes = b""

    def name(self, offset: int) -> str:
        return self.strings[offset : self.strings.index(0, offset)].decode("ascii", "backslashreplace")

    def enum(self, own: _Type) -> Mapping[str, int]:
        return MappingProxyType({self.name(name): value for name, value in struct.iter_unpack("<Ii", own.trailer)})


def _read_types(section: bytes) -> _Reader:
    magic, _, _, header, type_offset, type_length, string_offset, string_length = _HEADER.unpack_from(section)
    if magic != 0xEB9F:
        raise LayoutError("the .BTF section is not little-endian BTF")
    reader = _Reader(strings=section[header + string_offset : header + string_offset + string_length])
    reader.types.append(_Type("void", 0, 0, 0, b""))
    at, end = header + type_offset, header + type_offset + type_length
    while at < end:
        name, info, size = _TYPE.unpack_from(section, at)
        kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
        fixed, each = _TRAILER.get(kind, (0, 0))
        trailer = fixed + each * vlen
        at += _TYPE.size
        reader.types.append(_Type(reader.name(name), kind, vlen, size, section[at : at + trailer]))
        at += trailer
    return reader


def _structs(reader: _Reader, wanted: frozenset[str]) -> Mapping[str, Layout]:
    return {own.name: reader.layout(i) for i, own in enumerate(reader.types) if own.kind == _STRUCT and own.name in wanted}


def _variables(reader: _Reader, places: Mapping[str, elf.Symbol]) -> Mapping[str, Variable]:
    return {
        own.name: Variable(places[own.name].section, reader.field(own.name, places[own.name].offset, own.size))
        for own in reader.types
        if own.kind == _VAR and own.name in places and places[own.name].section.startswith((".rodata", ".data", ".bss"))
    }


def read_object(path: Path, structs: frozenset[str]) -> ObjectTypes:
    """Read the layouts of ``structs``, every enum and every global variable from the object at ``path``.

    LayoutError when the file is no BPF object or a layout uses what Python would have to guess (bit-fields, unions).
    """
    try:
        image = path.read_bytes()
    except OSError as error:
        raise LayoutError(f"{path}: {error.strerror}") from error
    section = elf.sections(image).get(".BTF")
    if not section:
        raise LayoutError(f"{path}: no .BTF section; compile with clang -g -target bpf")
    try:
        reader = _read_types(section)
        enums = {own.name: reader.enum(own) for own in reader.types if own.kind == _ENUM and own.name}
        return ObjectTypes(_structs(reader, structs), enums, _variables(reader, elf.symbols(image)))
    except (struct.error, IndexError, ValueError, KeyError, RecursionError) as error:
        raise LayoutError(f"{path}: damaged BTF: {error}") from error


def prototype_parameters(section: bytes, name: bytes) -> int | None:
    """Return how many parameters the function has to which the typedef ``name`` points, in a kernel's BTF; None when there is none.

    LayoutError when it is damaged. A kernel has 150,000 types: only where each begins is noted.
    """
    try:
        magic, _, _, header, type_offset, type_length, string_offset, string_length = _HEADER.unpack_from(section)
        strings = header + string_offset
        found = section.find(b"\0" + name + b"\0", strings, strings + string_length)
        if magic != 0xEB9F or found < 0:
            return None
        wanted, at, end, begins, index = found + 1 - strings, header + type_offset, header + type_offset + type_length, array("I", [0]), 0
        while at < end:
            name_offset, info, target = _TYPE.unpack_from(section, at)
            kind = info >> 24 & 0x1F
            if name_offset == wanted and kind == _TYPEDEF:
                index = target
            begins.append(at)
            fixed, each = _TRAILER.get(kind, (0, 0))
            at += _TYPE.size + fixed + each * (info & 0xFFFF)
        return _parameters(section, begins, index)
    except (struct.error, IndexError) as error:
        raise LayoutError(f"damaged BTF: {error}") from error


def _parameters(section: bytes, begins: array[int], index: int) -> int | None:
    for _ in range(4):  # a pointer, and qualifiers at most
        if not index:
            return None
        info, target = struct.unpack_from("<4xII", section, begins[index])
        if info >> 24 & 0x1F == _FUNC_PROTO:
            return int(info) & 0xFFFF
        index = int(target)
    return None
