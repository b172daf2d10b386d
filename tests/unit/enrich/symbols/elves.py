"""ELF files made by hand, of either width and byte order."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack

BUILD_ID = bytes(range(20))
BASE = 0x10000  # what is at offset 0 in the file is at this address


def small_elf(width: int, order: str, functions: Mapping[str, tuple[int, int]]) -> bytes:
    """Return a file with these functions, name to (offset in the file, size), in ``.symtab``."""
    wide = width == 2
    header_size, program_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
    note = pack(order + "III4s20s", 4, 20, 3, b"GNU", BUILD_ID)
    strings, symbols = b"\0", bytes(24 if wide else 16)
    for name, (offset, size) in functions.items():
        place = len(strings)
        strings += name.encode() + b"\0"
        if wide:
            symbols += pack(order + "IBBHQQ", place, 0x12, 0, 1, BASE + offset, size)
        else:
            symbols += pack(order + "IIIBBH", place, BASE + offset, size, 0x12, 0, 1)
    note_at = header_size + 2 * program_size
    symbols_at = note_at + len(note)
    strings_at = symbols_at + len(symbols)
    sections_at = strings_at + len(strings)

    def program(kind: int, offset: int, address: int, length: int) -> bytes:
        if wide:
            return pack(order + "IIQQQQQQ", kind, 5, offset, address, address, length, length, 1)
        return pack(order + "8I", kind, offset, address, address, length, length, 5, 1)

    def section(kind: int, offset: int, length: int, link: int) -> bytes:
        return pack(order + ("IIQQQQIIQQ" if wide else "10I"), 0, kind, 0, 0, offset, length, link, 0, 1, 0)

    ident = b"\x7fELF" + bytes([width, 1 if order == "<" else 2, 1]) + bytes(9)
    header = pack(
        order + ("16sHHIQQQIHHHHHH" if wide else "16sHHIIIIIHHHHHH"),
        ident, 3, 0, 1, 0, header_size, sections_at, 0, header_size, program_size, 2, section_size, 3, 0,
    )  # fmt: skip
    programs = program(1, 0, BASE, 0x10000) + program(4, note_at, 0, len(note))
    sections = section(0, 0, 0, 0) + section(2, symbols_at, len(symbols), 2) + section(3, strings_at, len(strings), 0)
    return header + programs + note + symbols + strings + sections
