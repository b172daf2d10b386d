"""What processes say of themselves, damaged: no crash, no hang, bounded answers."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.enrich.symbols import wire
from perflens.enrich.symbols.demangle import demangle
from perflens.enrich.symbols.elf import BadFile, Image
from perflens.enrich.symbols.kallsyms import _Table
from perflens.enrich.symbols.perfmap import PerfMap
from perflens.enrich.symbols.process import Mapping
from perflens.enrich.symbols.text import LONGEST, frame_text
from tests.unit.enrich.symbols.elves import small_elf

SAME_EACH_TIME = settings(deadline=None, derandomize=True, max_examples=300)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)
MANGLED = st.text("_ZRNIEKSTCLXDPOFAMtvijcs0123456789abpxEB", max_size=120)


def read(content: bytes) -> None:
    """Read all of a file and look at many places."""
    with contextlib.suppress(BadFile):
        image = Image(lambda offset, length: content[offset : offset + length])
        assert len(image.build_id()) <= 64
        found = image.functions()
        for offset in range(0, 0x3000, 97):
            function = found.at_offset(offset)
            assert function is None or (len(function[0]) <= 4096 and function[1] >= 0)


@SAME_EACH_TIME
@given(st.sampled_from([1, 2]), st.sampled_from(["<", ">"]), CHANGES)
def test_damaged_elf(width: int, order: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(small_elf(width, order, {"first": (0x1000, 16), "second": (0x1010, 0)}))
    for place, value in changes:
        content[int(place * len(content))] = value
    read(bytes(content))


@SAME_EACH_TIME
@given(st.binary(max_size=300), st.integers(0, 400))
def test_elf_of_noise(noise: bytes, cut: int) -> None:
    read(b"\x7fELF\x02\x01" + noise)
    read(small_elf(2, "<", {"first": (0x1000, 16)})[:cut])


@SAME_EACH_TIME
@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(0, 2**64 - 1))
def test_perf_map(parts: list[bytes], address: int) -> None:
    found = PerfMap()
    for part in parts:
        found.feed(part)
    found.feed(b"\n0 ffffffffffffffff all\n")
    assert found.at(address if address < 2**64 - 1 else 0) is not None


@SAME_EACH_TIME
@given(MANGLED, st.sampled_from(["_Z", "_ZN", "_Z1fI", "_ZZ", "_R", "_RNv", "_RINvC1a1b", "_ZN1a17h"]))
def test_mangled(name: str, start: str) -> None:
    assert len(demangle((start + name).encode())) <= 20_000


@SAME_EACH_TIME
@given(st.binary(max_size=400), st.integers(0, 2**64 - 1), st.binary(max_size=400), st.binary(max_size=64))
def test_shown(function: bytes, offset: int, module: bytes, build_id: bytes) -> None:
    """One line of bounded length, whatever a function is called."""
    text = frame_text(demangle(b"_Z" + function), offset, module, build_id)
    assert 0 < len(text) <= LONGEST
    assert text.isprintable()
    assert text.encode()


@SAME_EACH_TIME
@given(st.lists(st.binary(max_size=60)))
def test_lines(lines: list[bytes]) -> None:
    """Mappings and kernel symbols of any bytes."""
    table = _Table([line + b"\n" for line in lines])
    assert list(table.starts) == sorted(table.starts)
    for line in lines:
        with contextlib.suppress(ValueError):
            Mapping(line)


@SAME_EACH_TIME
@given(st.lists(st.binary(max_size=60)), st.binary(max_size=60))
def test_wire(fields: list[bytes], noise: bytes) -> None:
    message = wire.pack(fields)
    assert wire.size(message[:4]) == len(message) - 4
    assert wire.unpack(message[4:]) == fields
    with contextlib.suppress(ValueError):
        wire.unpack(noise)
