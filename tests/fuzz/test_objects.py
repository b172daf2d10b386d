"""Objects that are damaged: LayoutError, never another exception, never a hang."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.errors import LayoutError
from perflens.kernel import elf
from perflens.kernel.btf import ObjectTypes, read_object
from tests.unit.kernel.objects import elf as make_elf
from tests.unit.kernel.objects import real_object

IMAGE = real_object().read_bytes()
BTF = elf.sections(IMAGE)[".BTF"]
STRUCTS = frozenset({"cell", "cell_info", "cell_key", "ledger_shard", "op_slot"})
SAME_EACH_TIME = settings(deadline=None, derandomize=True)  # a gate that fails by chance is no gate
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects") / "damaged.bpf.o"


def damaged(image: bytes, changes: list[tuple[float, int]], offset: int = 0) -> bytes:
    own = bytearray(image)
    for place, value in changes:
        own[offset + int(place * (len(own) - offset))] = value
    return bytes(own)


def use(types: ObjectTypes) -> None:
    """Look at every layout."""
    for layout in types.structs.values():
        assert all(low < high for low, high in layout.holes())


def read(path: Path, image: bytes) -> None:
    path.write_bytes(image)
    with contextlib.suppress(LayoutError):
        use(read_object(path, STRUCTS))


@settings(SAME_EACH_TIME, max_examples=60)
@given(CHANGES)
def test_damaged_object(path: Path, changes: list[tuple[float, int]]) -> None:
    """A few wrong bytes anywhere in an object."""
    read(path, damaged(IMAGE, changes))


@settings(SAME_EACH_TIME, max_examples=100)
@given(CHANGES)
def test_damaged_btf(path: Path, changes: list[tuple[float, int]]) -> None:
    """A few wrong bytes in the types."""
    read(path, make_elf([(".BTF", damaged(BTF, changes)), (".symtab", bytes(24)), (".strtab", b"\0")]))


@settings(SAME_EACH_TIME, max_examples=60)
@given(CHANGES)
def test_damaged_section_headers(path: Path, changes: list[tuple[float, int]]) -> None:
    """A few wrong bytes in the table of sections, at the end of the file."""
    read(path, damaged(IMAGE, changes, offset=len(IMAGE) - 64 * 30))


@settings(SAME_EACH_TIME, max_examples=40)
@given(st.floats(0, 1))
def test_cut_object(path: Path, part: float) -> None:
    """An object that ends early."""
    read(path, IMAGE[: int(part * len(IMAGE))])


@settings(SAME_EACH_TIME, max_examples=100)
@given(st.binary(max_size=400))
def test_noise(path: Path, noise: bytes) -> None:
    """Any bytes, alone, behind the magic of ELF, or as the types."""
    read(path, noise)
    read(path, b"\x7fELF\x02\x01\x01" + noise)
    read(path, make_elf([(".BTF", b"\x9f\xeb\x01\0\x18\0\0\0" + noise), (".symtab", bytes(24)), (".strtab", b"\0")]))
