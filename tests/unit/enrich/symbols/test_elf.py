"""Functions of ELF files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from perflens.enrich.symbols import elf
from perflens.enrich.symbols.elf import BadFile, Functions, Image
from perflens.enrich.symbols.tables import Tables
from tests.unit.enrich.symbols.elves import BUILD_ID, small_elf
from tests.unit.enrich.symbols.programs import build_id_of, compiled, frame


def image(content: bytes) -> Image:
    return Image(lambda offset, length: content[offset : offset + length])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("width", [1, 2])
def test_widths(width: int, order: str) -> None:
    """32 and 64 bits, either byte order; a symbol without a size reaches to the next one."""
    own = image(small_elf(width, order, {"second": (0x1040, 0), "first": (0x1000, 0x20), "third": (0x1080, 8)}))
    functions = own.functions()

    assert own.build_id() == BUILD_ID
    assert [functions.at_offset(at) for at in (0x1000, 0x101F, 0x1020, 0x107F, 0x1088, 0xFFF)] == [
        (b"first", 0), (b"first", 0x1F), None, (b"second", 0x3F), None, None,
    ]  # fmt: skip
    assert functions.at_offset(0x1020, back=1) == (b"first", 0x20)


def test_nested() -> None:
    """A place behind an inner symbol belongs to the outer one."""
    functions = image(small_elf(2, "<", {"outer": (0x1000, 0x100), "inner": (0x1010, 8)})).functions()

    assert functions.at_offset(0x1012) == (b"inner", 2)
    assert functions.at_offset(0x1020) == (b"outer", 0x20)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", bytes(100), b"\x7fELF\x03\x01" + bytes(90), b"#!/bin/sh\n" + bytes(90)])
def test_no_elf(content: bytes) -> None:
    """Other files are told apart."""
    with pytest.raises(BadFile):
        image(content)


def test_too_many_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with too many symbols has none."""
    monkeypatch.setattr(elf, "_MOST_SYMBOLS", 2)
    assert not len(image(small_elf(2, "<", {"a": (1, 1), "b": (2, 1)})).functions())


def test_dynamic_only(tmp_path: Path) -> None:
    """Of a stripped library the functions that others may call are left."""
    library = compiled(tmp_path / "library", "int seen(void) { return 1; } static int hidden(void) { return 2; }", "-shared", "-fPIC")
    subprocess.run(["strip", str(library)], check=True)
    functions = image(library.read_bytes()).functions()

    assert not functions.full
    assert {functions._name(index) for index in range(len(functions))} >= {b"seen"}


def test_debug_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stripped program is named by its separate debug file, if that has the same build-id."""
    program = compiled(tmp_path / "program", "int inner_wait(void) { return 1; } int main(void) { return inner_wait(); }")
    found, build_id = frame(program, "inner_wait"), build_id_of(program).hex()
    debug = tmp_path / build_id[:2] / f"{build_id[2:]}.debug"
    debug.parent.mkdir()
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(debug)], check=True)
    subprocess.run(["strip", str(program)], check=True)
    monkeypatch.setattr("perflens.enrich.symbols.tables._DEBUG", str(tmp_path))

    def name() -> tuple[bytes, int] | None:
        tables = Tables()
        with program.open("rb") as file:
            known = tables.get(tables.learn(file.fileno(), b"program"))
        assert known is not None
        return known.functions.at_offset(found.offset)

    assert name() == (b"inner_wait", 4)
    other = compiled(tmp_path / "other", "int main(void) { return 7; }")
    debug.write_bytes(other.read_bytes())
    assert name() is None


def test_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files not used for longest are forgotten; one that is too heavy stays for one answer only."""
    functions = Functions((), (), b"", full=True)
    monkeypatch.setattr("perflens.enrich.symbols.tables._WEIGHT", functions.weight * 8)
    tables, keys = Tables(), []
    for number in range(20):
        file = tmp_path / str(number)
        file.write_bytes(small_elf(2, "<", {}).replace(BUILD_ID, bytes([number]) * 20))
        with file.open("rb") as opened:
            keys.append(tables.learn(opened.fileno(), b"x"))
        assert tables.get(keys[0]) is not None
        tables.trim()

    assert len(tables) <= 8
    assert keys[0] in tables
    assert keys[-1] in tables
    assert keys[1] not in tables


def test_same_build_id(tmp_path: Path) -> None:
    """A file with the build-id of another does not take its place, unless it has the symbols that were stripped."""
    tables = Tables()

    def learn(name: str, functions: dict[str, tuple[int, int]]) -> bytes:
        (tmp_path / name).write_bytes(small_elf(2, "<", functions))
        with (tmp_path / name).open("rb") as file:
            return tables.learn(file.fileno(), name.encode())

    learn("stripped", {})
    learn("true", {"right": (0x1000, 16)})
    key = learn("false", {"wrong": (0x1000, 16)})

    known = tables.get(key)
    assert known is not None
    assert known.functions.at_offset(0x1000) == (b"right", 0)
