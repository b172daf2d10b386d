"""kernel/elf.py: sections and symbols."""

from __future__ import annotations

import pytest

from perflens.errors import LayoutError
from perflens.kernel.elf import Symbol, sections, symbols
from tests.unit.kernel.objects import elf, real_object, symbol_table

IMAGE = real_object().read_bytes()


def test_sections_of_a_real_object() -> None:
    """The sections that the loader needs are there, with their content."""
    found = sections(IMAGE)

    assert {".BTF", ".rodata", ".maps", "license", ".symtab", ".strtab"} <= set(found)
    assert found["license"] == b"Dual BSD/GPL\0"


def test_sections_without_content() -> None:
    """A .bss occupies no bytes of the file."""
    assert sections(IMAGE)[".bss"] == b""


def test_symbols_of_a_real_object() -> None:
    """A variable's symbol tells its section, offset and size; undefined names have none."""
    found = symbols(IMAGE)

    assert (found["thresholds"].section, found["thresholds"].offset % 8, found["thresholds"].size) == (".bss", 0, 64)
    assert found["file_record"].section == "raw_tp"
    assert "bpf_rdonly_cast" not in found


def test_file_made_by_hand() -> None:
    """Sections and symbols come out as they were put in; a symbol of no section or of one that does not exist is left out."""
    symtab, strtab = symbol_table([("a", 1, 16, 8), ("none", 0, 0, 0), ("absolute", 0xFFF1, 0, 0), ("common", 0xFFF2, 0, 0)])
    image = elf([(".data", b"content"), (".symtab", symtab), (".strtab", strtab)])

    assert sections(image)[".data"] == b"content"
    assert symbols(image) == {"a": Symbol(".data", 16, 8)}


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x7fELF", id="magic"),
        pytest.param(b"#!/bin/sh\n" * 20, id="script"),
        pytest.param(IMAGE[:63], id="short header"),
        pytest.param(IMAGE[:64], id="header"),
        pytest.param(IMAGE[: len(IMAGE) // 2], id="half"),
        pytest.param(b"\x7fELF\x01\x01" + IMAGE[6:], id="32-bit"),
        pytest.param(b"\x7fELF\x02\x02" + IMAGE[6:], id="big-endian"),
    ],
)
def test_other_files(image: bytes) -> None:
    """What is not a whole 64-bit little-endian ELF file is refused."""
    with pytest.raises(LayoutError):
        sections(image)
