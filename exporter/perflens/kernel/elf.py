"""The sections and symbols of a relocatable 64-bit little-endian ELF file (System V ABI, chapters 4 and 5)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perflens.errors import LayoutError

__all__ = ["Symbol", "sections", "symbols"]

_HEADER = struct.Struct("<16s HHI QQQ I HHHHHH")
_SECTION = struct.Struct("<II QQQQ II QQ")
_SYMBOL = struct.Struct("<I BB H QQ")


class Symbol(NamedTuple):
    """A symbol: the section it is defined in, its offset there and its size."""

    section: str
    offset: int
    size: int


def _string(table: bytes, offset: int) -> str:
    return table[offset : table.index(0, offset)].decode("ascii", "backslashreplace")


def _headers(image: bytes) -> Iterator[tuple[str, bytes]]:
    ident, *_, offset, _, _, _, _, size, count, names_index = _HEADER.unpack_from(image)
    if ident[:6] != b"\x7fELF\x02\x01" or size != _SECTION.size:
        raise LayoutError("not a 64-bit little-endian ELF file")
    headers = [_SECTION.unpack_from(image, offset + i * size) for i in range(count)]
    names = image[headers[names_index][4] :]
    for name, kind, _, _, start, length, *_ in headers:
        yield _string(names, name), b"" if kind == 8 else image[start : start + length]  # 8: SHT_NOBITS


def sections(image: bytes) -> Mapping[str, bytes]:
    """Return the content of each section by name; LayoutError when ``image`` is no such file."""
    try:
        return dict(_headers(image))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise LayoutError(f"damaged ELF file: {error}") from error


def symbols(image: bytes) -> Mapping[str, Symbol]:
    """Return the named symbols that are defined in a section; LayoutError when the table is missing or damaged."""
    by_name = sections(image)
    names, found = [name for name, _ in _headers(image)], {}
    try:
        for name, _, _, section, value, size in _SYMBOL.iter_unpack(by_name[".symtab"]):
            if name and 0 < section < len(names):
                found[_string(by_name[".strtab"], name)] = Symbol(names[section], value, size)
    except (struct.error, ValueError, KeyError) as error:
        raise LayoutError(f"damaged symbol table: {error}") from error
    return found
