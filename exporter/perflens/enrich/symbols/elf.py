"""The functions of an ELF file that is not to be trusted (System V ABI, chapters 4 and 5): 32 and 64 bits, either byte order.

Its bytes are read when they are needed: a mapped file that is cut meanwhile would kill the process.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from struct import Struct, error

__all__ = ["BadFile", "Functions", "Image"]

_MOST_HEADERS = 4096
_MOST_SYMBOLS = 400_000  # 0.4 s
_AT_ONCE = 4096
_MOST_STRINGS = 48 << 20
_MOST_NOTES = 1 << 16
_LONGEST_NAME = 4096
_NESTED = 16
_PT_LOAD, _PT_NOTE, _NT_GNU_BUILD_ID = 1, 4, 3
_SYMTAB, _DYNSYM = 2, 11
_FUNCTIONS = frozenset({2, 10})  # STT_FUNC, STT_GNU_IFUNC

# By class: file header, program header, section header, symbol; where the fields that matter stand in the last three.
_WIDTHS = {
    1: ("16sHHIIIIIHHHHHH", "8I", (0, 1, 2, 4), "10I", "IIIBBH", (0, 3, 5, 1, 2)),
    2: ("16sHHIQQQIHHHHHH", "IIQQQQQQ", (0, 2, 3, 5), "IIQQQQIIQQ", "IBBHQQ", (0, 1, 3, 4, 5)),
}


class BadFile(Exception):
    """The file is no ELF file, or is damaged."""


class Functions:
    """The functions of a file by address, and the segments that map file offsets to addresses."""

    __slots__ = ("_loads", "_names", "_sizes", "_starts", "_strings", "full")

    def __init__(self, loads: Sequence[tuple[int, int, int]], symbols: Sequence[tuple[int, int, int]], strings: bytes, full: bool) -> None:
        ordered = sorted(symbols)
        self._loads = tuple(loads)
        self._starts = array("Q", [symbol[0] for symbol in ordered])
        self._sizes = array("Q", [symbol[1] for symbol in ordered])
        self._names = array("I", [symbol[2] for symbol in ordered])
        self._strings = strings
        self.full = full

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def weight(self) -> int:
        """Return the memory it takes, in bytes."""
        return 20 * len(self._starts) + len(self._strings) + 500

    def at_offset(self, offset: int, back: int = 0) -> tuple[bytes, int] | None:
        """Return the function at an offset in the file, and how far into it that is; ``back`` bytes before it are looked up."""
        for start, length, address in self._loads:
            if start <= offset - back < start + length:
                return self.at_address(offset - start + address, back)
        return None

    def at_address(self, address: int, back: int = 0) -> tuple[bytes, int] | None:
        """Return the function at an address of the file's own, and how far into it that is."""
        last = bisect_right(self._starts, address - back) - 1
        for index in range(last, max(last - _NESTED, -1), -1):
            start, length = self._starts[index], self._sizes[index]
            # Assembly knows no sizes: such a symbol reaches to the next one.
            if (address - back < start + length or (not length and index == last)) and (name := self._name(index)):
                return name, address - start
        return None

    def _name(self, index: int) -> bytes:
        start = self._names[index]
        end = self._strings.find(b"\0", start, start + _LONGEST_NAME)
        return self._strings[start : end if end >= 0 else start + _LONGEST_NAME]


class Image:
    """An ELF file, by what reads up to a number of bytes from an offset in it; BadFile when it is none."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._source = read
        ident = self._read(0, 64)
        if len(ident) < 52 or ident[:4] != b"\x7fELF" or ident[4] not in _WIDTHS or ident[5] not in (1, 2):
            raise BadFile("no ELF file")
        self._order = "<>"[ident[5] - 1]
        header, self._program, self._program_fields, self._section, self._symbol, self._symbol_fields = _WIDTHS[ident[4]]
        try:
            fields = Struct(self._order + header).unpack_from(ident)
        except error as reason:
            raise BadFile(str(reason)) from reason
        self._program_table = fields[5], fields[9], min(fields[10], _MOST_HEADERS)
        self._section_table = fields[6], fields[11], min(fields[12], _MOST_HEADERS)

    def build_id(self) -> bytes:
        """Return the build-id; empty when the file has none."""
        for kind, offset, _, length in self._programs():
            if kind == _PT_NOTE and (found := self._build_id_in(self._read(offset, min(length, _MOST_NOTES)))):
                return found
        return b""

    def functions(self, symbols_of: Image | None = None) -> Functions:
        """Return the functions; ``symbols_of`` is the separate debug file that has the symbols of this one."""
        loads = [(offset, length, address) for kind, offset, address, length in self._programs() if kind == _PT_LOAD]
        for image, kind in ((symbols_of, _SYMTAB), (self, _SYMTAB), (self, _DYNSYM)):
            if image is not None and (found := image._symbols(kind)) and found[0]:
                return Functions(loads, *found, full=kind == _SYMTAB)
        return Functions(loads, (), b"", full=False)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return self._source(offset, length)
        except (OSError, OverflowError, ValueError) as reason:
            raise BadFile(str(reason)) from reason

    def _entries(self, form: str, offset: int, length: int) -> list[tuple[int, ...]]:
        entry = Struct(self._order + form)
        raw = self._read(offset, length)
        return list(entry.iter_unpack(raw[: len(raw) // entry.size * entry.size]))

    def _programs(self) -> list[tuple[int, int, int, int]]:
        offset, size, count = self._program_table
        if size != Struct(self._order + self._program).size:
            return []
        kind, start, address, length = self._program_fields
        entries = self._entries(self._program, offset, size * count)
        return [(entry[kind], entry[start], entry[address], entry[length]) for entry in entries]

    def _build_id_in(self, notes: bytes) -> bytes:
        note, place = Struct(self._order + "III"), 0
        while place + note.size <= len(notes):
            name_size, size, kind = note.unpack_from(notes, place)
            name = place + note.size
            content = name + (name_size + 3 & ~3)
            if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0" and 0 < size <= 64:
                return notes[content : content + size]
            place = content + (size + 3 & ~3)
        return b""

    def _symbols(self, wanted: int) -> tuple[list[tuple[int, int, int]], bytes] | None:
        offset, size, count = self._section_table
        if size != Struct(self._order + self._section).size:
            return None
        sections = self._entries(self._section, offset, size * count)
        for _, kind, _, _, start, length, link, *_ in sections:
            if kind == wanted and link < len(sections) and length <= _MOST_SYMBOLS * Struct(self._order + self._symbol).size:
                strings, strings_length = sections[link][4:6]
                if strings_length <= _MOST_STRINGS:
                    return self._defined(start, length), self._read(strings, strings_length)
        return None

    def _defined(self, start: int, length: int) -> list[tuple[int, int, int]]:
        name, info, section, value, size = self._symbol_fields
        step = _AT_ONCE * Struct(self._order + self._symbol).size
        found = []
        for offset in range(start, start + length, step):  # all at once would take a hundred bytes for each
            symbols = self._entries(self._symbol, offset, min(step, start + length - offset))
            if not symbols:
                break
            found += [(s[value], s[size], s[name]) for s in symbols if s[info] & 15 in _FUNCTIONS and s[section] and s[name]]
        return found
