"""layout.py: members, codes, holes and the labels of enums."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.errors import LayoutError
from perflens.layout import Field, Layout, enum_labels


def field(name: str, offset: int, size: int, count: int = 1, signed: bool = False, typename: str = "__u") -> Field:
    return Field(name, offset, size, count, signed, typename)


def layout(size: int, *fields: Field) -> Layout:
    return Layout("own", size, {own.name: own for own in fields})


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (field("a", 0, 1), "B"),
        (field("a", 0, 2), "H"),
        (field("a", 0, 4, signed=True), "i"),
        (field("a", 0, 8), "Q"),
        (field("a", 0, 8, signed=True), "q"),
        (field("a", 0, 32, 8), "8I"),
        (field("a", 0, 6, 3, signed=True), "3h"),
        (field("a", 0, 16, 16, typename="char"), "16s"),
        (field("a", 0, 16, 16, typename="__u8"), "16B"),
    ],
)
def test_code(own: Field, code: str) -> None:
    """A member's code is its width and sign; an array of char is bytes."""
    assert own.code == code
    assert struct.calcsize("<" + own.code) == own.size


def test_struct_has_no_code() -> None:
    """A member that is a struct is refused."""
    with pytest.raises(LayoutError, match="inner is a struct"):
        _ = Field("inner", 0, 8, 1, False, "other", layout(8)).code


def test_missing_member_is_named_with_those_there_are() -> None:
    """The error for a member that does not exist lists those that do."""
    with pytest.raises(LayoutError, match=r"^struct own has no member c: it has a, b$"):
        _ = layout(8, field("a", 0, 4), field("b", 4, 4))["c"]


def test_unpacker_takes_members_in_the_order_of_their_offsets() -> None:
    """Whatever the order of the names, values come in the order of memory, and the rest is skipped."""
    own = layout(24, field("c", 16, 4), field("a", 1, 1), field("b", 8, 8))
    unpacker = own.unpacker("c", "a")

    assert unpacker.size == 24
    assert unpacker.unpack(bytes([9, 7]) + bytes(14) + b"\x05\0\0\0" + bytes(4)) == (7, 5)


@pytest.mark.parametrize(
    ("own", "holes"),
    [
        (layout(8, field("a", 0, 8)), ()),
        (layout(16, field("a", 0, 8), field("b", 8, 1)), ((9, 16),)),
        (layout(16, field("b", 8, 8), field("a", 0, 4)), ((4, 8),)),
        (layout(24, field("a", 4, 4), field("b", 16, 4)), ((0, 4), (8, 16), (20, 24))),
        (layout(0), ()),
        (layout(4), ((0, 4),)),
    ],
)
def test_holes(own: Layout, holes: tuple[tuple[int, int], ...]) -> None:
    """Holes are the bytes that belong to no member."""
    assert own.holes() == holes


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, 2, 4, 8]), st.integers(1, 4)), max_size=8), st.integers(0, 9))
def test_holes_and_members_fill_the_struct(parts: list[tuple[int, int, int]], end: int) -> None:
    """Members and holes together are the size, and the unpacker of all members reads each of them."""
    at, fields = 0, []
    for number, (gap, width, count) in enumerate(parts):
        at += gap
        fields.append(field(f"m{number}", at, width * count, count))
        at += width * count
    own = layout(at + end, *fields)

    assert sum(own_field.size for own_field in fields) + sum(high - low for low, high in own.holes()) == own.size
    assert own.unpacker(*own.fields).size == own.size
    assert len(own.unpacker(*own.fields).unpack(bytes(own.size))) == sum(count for _, _, count in parts)


def test_enum_labels() -> None:
    """A label is the member without its prefix, in lower case; counts are left out."""
    members = {"FILE_READ": 0, "FILE_SYNC_RANGE": 3, "FILE_OPERATIONS": 4}

    assert enum_labels("file_operation", members, exclude=frozenset({"FILE_OPERATIONS"})) == {0: "read", 3: "sync_range"}


@pytest.mark.parametrize("member", ["READ", "READ_", ""])
def test_enum_without_a_prefix(member: str) -> None:
    """A member without a prefix is refused."""
    with pytest.raises(LayoutError, match="has no PREFIX_"):
        enum_labels("file_operation", {member: 0})


@pytest.mark.parametrize("own", [field("a", 0, 16), field("a", 0, 0, 0), field("a", 0, 3), field("a", 0, 7, 2)])
def test_member_without_a_code(own: Field) -> None:
    """A member whose width the struct module does not know, or an array of no elements, is refused."""
    with pytest.raises(LayoutError, match="a: "):
        _ = own.code


@pytest.mark.parametrize("own", [layout(8, field("a", 0, 8), field("b", 4, 4)), layout(4, field("a", 0, 8))])
def test_members_that_do_not_fit(own: Layout) -> None:
    """Members that overlap or lie outside of the struct are refused."""
    with pytest.raises(LayoutError, match="struct own: "):
        own.unpacker(*own.fields)
