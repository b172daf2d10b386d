"""decode/cells.py: what the kernel noted when it claimed a cell."""

from __future__ import annotations

import platform
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perflens.decode.cells import cell_info_decoder
from perflens.errors import LayoutError
from perflens.kernel.attached import object_path, object_types
from perflens.layout import Layout
from perflens.model import CellInfo

LAYOUT = object_types(object_path("file", platform.machine())).struct("cell_info")
DECODE = cell_info_decoder(LAYOUT)


def info(object_name: bytes, names: bytes, length: int | None = None, complete: int = 1) -> bytes:
    return struct.pack("<32sII768s", object_name, len(names) if length is None else length, complete, names)


def test_layout_is_the_one_of_these_tests() -> None:
    """The bytes that the tests pack are as long as the kernel's struct."""
    assert len(info(b"", b"")) == LAYOUT.size


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (info(b"ext4", b"a.service\0system.slice\0"), CellInfo("ext4", ("system.slice", "a.service"), True)),
        (info(b"ext4", b""), CellInfo("ext4", (), True)),
        (info(b"", b"", complete=0), CellInfo("", (), False)),
        (info(b"ext4\0rest", b"b\0a\0", complete=0), CellInfo("ext4", ("a", "b"), False)),
        (info(b"a name of thirty-two characters.", b""), CellInfo("a name of thirty-two characters.", (), True)),
        (info(b"xfs", b"leaf\0root\0stale bytes\0", length=10), CellInfo("xfs", ("root", "leaf"), True)),
        (info(b"xfs", b"leaf\0cut", length=8), CellInfo("xfs", ("leaf",), True)),
        (info(b"xfs", "größe\0".encode()), CellInfo("xfs", ("größe",), True)),
        (info(b"\xff", b""), CellInfo("\\xff", (), True)),
    ],
)
def test_decode(record: bytes, expected: CellInfo) -> None:
    """Names come leaf first and end with NUL; what is behind the length is not read."""
    assert DECODE(record) == expected


def test_length_beyond_the_names() -> None:
    """A length that is too large reads what there is."""
    assert DECODE(info(b"xfs", b"a\0", length=2**32 - 1)).path[-1] == "a"


@pytest.mark.parametrize("missing", ["object", "owner"])
def test_layout_without_a_member(missing: str) -> None:
    """A struct without the members that are read is refused when the decoder is made."""
    fields = {name: field for name, field in LAYOUT.fields.items() if name != missing}
    with pytest.raises(LayoutError, match=f"no member {missing}"):
        cell_info_decoder(Layout("cell_info", LAYOUT.size, fields))


@settings(deadline=None, max_examples=200)
@example(b"\xff" * LAYOUT.size)
@given(st.binary(min_size=LAYOUT.size, max_size=LAYOUT.size) | st.builds(info, st.binary(max_size=32), st.binary(max_size=768)))
def test_any_bytes(record: bytes) -> None:
    """Any bytes decode to a value whose names hold no NUL and no more text than there was."""
    found = DECODE(record)

    assert "\0" not in "".join((found.object_name, *found.path))
    assert len(found.path) <= 768
    assert isinstance(found.complete, bool)


def test_bytes_that_are_no_text() -> None:
    """A cgroup's name keeps its bytes, so that its folder can be looked up."""
    (name,) = DECODE(info(b"xfs", b"caf\xe9.service\0")).path

    assert name.encode("utf-8", "surrogateescape") == b"caf\xe9.service"
