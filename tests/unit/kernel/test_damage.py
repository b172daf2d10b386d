"""Objects whose damage has a name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from perflens.errors import LayoutError
from perflens.kernel import elf
from perflens.kernel.btf import read_object
from tests.unit.kernel.objects import CONST, TYPEDEF, VAR, Btf, object_file, symbol_table
from tests.unit.kernel.objects import elf as make_elf


def read(tmp_path: Path, btf: Btf) -> None:
    path = tmp_path / "own.bpf.o"
    path.write_bytes(object_file(btf, [("here", 0, 8)]))
    read_object(path, frozenset({"own"}))


def test_struct_that_holds_itself(tmp_path: Path) -> None:
    """A struct that is a member of itself is refused."""
    btf = Btf()
    btf.structure("own", 4, [("a", 1, 0)])
    with pytest.raises(LayoutError):
        read(tmp_path, btf)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", [TYPEDEF, CONST])
def test_type_that_refers_to_itself(tmp_path: Path, kind: int) -> None:
    """A typedef or a qualifier of itself is refused, and not followed for ever."""
    btf = Btf()
    btf.add(VAR, "here", btf.add(kind, "loop" if kind == TYPEDEF else "", size=1), b"\0\0\0\0")
    with pytest.raises(LayoutError):
        read(tmp_path, btf)


@pytest.mark.parametrize(
    "sections",
    [
        [(".data", b"")],
        [(".symtab", b"123"), (".strtab", b"\0")],
        [(".symtab", bytes(24) + struct.pack("<IBBHQQ", 99, 0, 0, 1, 0, 0)), (".strtab", b"\0")],
    ],
)
def test_symbols_that_are_damaged(sections: list[tuple[str, bytes]]) -> None:
    """A symbol table that is missing, cut, or without its names is refused."""
    with pytest.raises(LayoutError):
        elf.symbols(make_elf(sections))


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1])
def test_section_table_beyond_any_file(offset: int) -> None:
    """A table of sections that no file can hold is refused."""
    image = bytearray(make_elf([(".data", b"")]))
    struct.pack_into("<Q", image, 40, offset)
    with pytest.raises(LayoutError):
        elf.sections(bytes(image))


def test_sections_of_one_name() -> None:
    """Symbols find their section by its number, also behind two sections of one name."""
    symtab, strtab = symbol_table([("a", 3, 0, 0)])
    image = make_elf([(".group", b""), (".group", b""), (".data", b""), (".symtab", symtab), (".strtab", strtab)])

    assert elf.symbols(image)["a"].section == ".data"
