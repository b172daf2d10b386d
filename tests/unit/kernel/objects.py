"""Compiled objects made by hand, so that a test can have any type and any damage."""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from perflens.kernel.attached import object_path

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FLOAT = 1, 2, 3, 4, 5, 6, 16
TYPEDEF, VOLATILE, CONST, VAR = 8, 9, 10, 14


def real_object() -> Path:
    """The file probe's object for this machine."""
    return object_path("file", platform.machine())


class Btf:
    """A .BTF section: each method adds a type and returns its number."""

    def __init__(self) -> None:
        self._strings = bytearray(b"\0")
        self._types = bytearray()
        self._count = 0

    def add(self, kind: int, name: str = "", size: int = 0, trailer: bytes = b"", vlen: int = 0, flag: bool = False) -> int:
        self._types += struct.pack("<III", self.string(name), flag << 31 | kind << 24 | vlen, size) + trailer
        self._count += 1
        return self._count

    def string(self, text: str) -> int:
        if not text:
            return 0
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text) - 1

    def integer(self, name: str, size: int, encoding: int = 0) -> int:
        return self.add(INT, name, size, struct.pack("<I", encoding << 24 | size * 8))

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, trailer=struct.pack("<III", element, element, count))

    def structure(self, name: str, size: int, members: Sequence[tuple[str, int, int]], kind: int = STRUCT, flag: bool = False) -> int:
        """Members are (name, type, offset in bits)."""
        trailer = b"".join(struct.pack("<III", self.string(member), number, bits) for member, number, bits in members)
        return self.add(kind, name, size, trailer, len(members), flag)

    def enum(self, name: str, members: Mapping[str, int]) -> int:
        trailer = b"".join(struct.pack("<Ii", self.string(member), value) for member, value in members.items())
        return self.add(ENUM, name, 4, trailer, len(members))

    def bytes(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings))
        return header + bytes(self._types) + bytes(self._strings)


def symbol_table(symbols: Sequence[tuple[str, int, int, int]]) -> tuple[bytes, bytes]:
    """Return .symtab and .strtab of (name, section number, offset, size)."""
    table, strings = bytearray(24), bytearray(b"\0")
    for name, section, value, size in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 0, 0, section, value, size)
        strings += name.encode() + b"\0"
    return bytes(table), bytes(strings)


def elf(sections: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a relocatable file; the sections are numbered from 1, the last is .shstrtab."""
    names, body, headers = bytearray(b"\0"), bytearray(), [bytes(64)]
    for name, content in [*sections, (".shstrtab", b"")]:
        offset = len(names)
        names += name.encode() + b"\0"
        own = bytes(names) if name == ".shstrtab" else content
        headers.append(struct.pack("<II QQQQ II QQ", offset, 1, 0, 0, 64 + len(body), len(own), 0, 0, 1, 0))
        body += own
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16s HHI QQQ I HHHHHH", ident, 1, 247, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(headers), len(headers) - 1)
    return header + bytes(body) + b"".join(headers)


def object_file(btf: Btf, variables: Sequence[tuple[str, int, int]] = ()) -> bytes:
    """Return an object with this BTF and these variables (name, offset, size) in .bss."""
    symtab, strtab = symbol_table([(name, 2, offset, size) for name, offset, size in variables])
    return elf([(".BTF", btf.bytes()), (".bss", b""), (".symtab", symtab), (".strtab", strtab)])
