"""kernel/btf.py: layouts, enums and variables from the .BTF section."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from perflens.errors import LayoutError
from perflens.kernel.btf import ObjectTypes, prototype_parameters, read_object
from perflens.layout import Field
from tests.unit.kernel.objects import ARRAY, CONST, FLOAT, PTR, TYPEDEF, UNION, VAR, VOLATILE, Btf, elf, object_file, real_object

STRUCTS = frozenset(
    {"cell", "cell_info", "cell_key", "ledger_shard", "op_slot", "wait_frame", "event", "event_frame", "wait_interval"},
)


def read(tmp_path: Path, image: bytes, *structs: str) -> ObjectTypes:
    path = tmp_path / "own.bpf.o"
    path.write_bytes(image)
    return read_object(path, frozenset(structs))


def test_structs_of_a_real_object() -> None:
    """The shared structs have the sizes that the C side was laid out for."""
    types = read_object(real_object(), STRUCTS)

    assert {name: own.size for name, own in types.structs.items()} == {
        "cell": 704,
        "cell_info": 808,
        "cell_key": 24,
        "event": 184,
        "event_frame": 32,
        "ledger_shard": 256,
        "op_slot": 128,
        "wait_frame": 24,
        "wait_interval": 32,
    }
    assert {name: own.holes() for name, own in types.structs.items() if own.holes()} == {"cell": ((680, 704),)}  # to whole cache lines
    assert types.struct("op_slot")["file"].offset == 64
    assert types.struct("cell")["wait"].count == 18
    assert (types.struct("event")["result"].signed, types.struct("event_frame")["status"].signed) == (True, True)
    assert types.struct("cell")["bucket"].count == 129
    assert types.struct("cell_key")["owner"].typename == "pl_cgroup_id"
    assert types.struct("op_slot")["start"].typename == "pl_ktime_ns"


def test_only_the_structs_that_are_asked_for() -> None:
    """Structs of the kernel that the object also describes are not read."""
    assert set(read_object(real_object(), frozenset({"cell"})).structs) == {"cell"}


def test_enums_of_a_real_object() -> None:
    """Enums keep the order and the numbers of their members."""
    types = read_object(real_object(), frozenset())

    assert list(types.enum("file_operation")) == ["FILE_READ", "FILE_WRITE", "FILE_FSYNC", "FILE_SYNC_RANGE", "FILE_COPY"]
    assert types.enum("cell_state") == {"CELL_FREE": 0, "CELL_LIVE": 1, "CELL_DEAD": 2}


def test_variables_of_a_real_object() -> None:
    """Knobs lie in .rodata, thresholds in .bss, with offsets from the symbol table."""
    types = read_object(real_object(), frozenset())

    assert types.variable("bounds").section == ".rodata"
    assert types.variable("bounds").field.size == 8 * 132
    assert types.variable("thresholds").section == ".bss"
    assert types.variable("thresholds").field.count == 8
    assert types.variable("shared_slots").field.size == 1


@pytest.mark.parametrize(("method", "what"), [("struct", "struct"), ("enum", "enum"), ("variable", "variable")])
def test_what_is_missing_is_named(method: str, what: str) -> None:
    """A name that the object does not have is an error that says it."""
    types = read_object(real_object(), STRUCTS)
    with pytest.raises(LayoutError, match=rf"^the object has no {what} nothing$"):
        getattr(types, method)("nothing")


def test_members(tmp_path: Path) -> None:
    """Integers, typedefs, qualifiers, arrays, pointers, enums, char arrays and structs become fields."""
    btf = Btf()
    u32, s64, char = btf.integer("unsigned int", 4), btf.integer("long long", 8, encoding=1), btf.integer("char", 1, encoding=1)
    inner = btf.structure("inner", 4, [("x", u32, 0)])
    alias = btf.add(TYPEDEF, "pl_ns", btf.add(TYPEDEF, "__u32", u32))
    qualified = btf.add(CONST, size=btf.add(VOLATILE, size=alias))
    members = [
        ("a", u32, 0),
        ("b", qualified, 32),
        ("c", s64, 64),
        ("d", btf.add(PTR, size=u32), 128),
        ("e", btf.array(u32, 3), 192),
        ("f", btf.array(char, 4), 288),
        ("g", inner, 320),
        ("h", btf.enum("color", {"COLOR_RED": 0, "COLOR_NONE": -1}), 352),
        ("i", btf.array(btf.array(u32, 2), 2), 384),
    ]
    btf.structure("own", 64, members)
    types = read(tmp_path, object_file(btf), "own")
    own = types.struct("own")

    assert list(own.fields) == ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
    assert own["a"] == Field("a", 0, 4, 1, False, "unsigned int")
    assert own["b"] == Field("b", 4, 4, 1, False, "pl_ns")
    assert own["c"] == Field("c", 8, 8, 1, True, "long long")
    assert own["d"] == Field("d", 16, 8, 1, False, "pointer")
    assert own["e"] == Field("e", 24, 12, 3, False, "unsigned int")
    assert own["f"].code == "4s"
    assert own["g"].layout is not None
    assert own["g"].layout["x"].offset == 0
    assert own["h"] == Field("h", 44, 4, 1, False, "color")
    assert types.enum("color") == {"COLOR_RED": 0, "COLOR_NONE": -1}


def test_variables(tmp_path: Path) -> None:
    """A variable has its place from the symbol and its shape from BTF; one without a symbol is left out."""
    btf = Btf()
    u32 = btf.integer("unsigned int", 4)
    btf.add(VAR, "here", btf.array(u32, 2), b"\0\0\0\0")
    btf.add(VAR, "nowhere", u32, b"\0\0\0\0")
    types = read(tmp_path, object_file(btf, [("here", 16, 8)]))

    assert list(types.variables) == ["here"]
    assert (types.variable("here").section, types.variable("here").field.offset, types.variable("here").field.count) == (".bss", 16, 2)


def test_bit_field_is_refused(tmp_path: Path) -> None:
    """A bit-field, by its flag or by its offset, is an error and not a guess."""
    for bits, flag in ((3, False), (5 << 24, True)):
        btf = Btf()
        u32 = btf.integer("unsigned int", 4)
        btf.structure("own", 4, [("bits", u32, bits)], flag=flag)
        with pytest.raises(LayoutError, match="struct own: bits is a bit-field"):
            read(tmp_path, object_file(btf), "own")


@pytest.mark.parametrize(("kind", "size"), [(UNION, 4), (FLOAT, 8)])
def test_kind_that_is_not_supported(tmp_path: Path, kind: int, size: int) -> None:
    """A union or a float in a shared struct is refused with the member's name."""
    btf = Btf()
    btf.structure("own", 8, [("odd", btf.add(kind, "odd_type", size), 0)])
    with pytest.raises(LayoutError, match=rf"odd: BTF kind {kind} is not supported"):
        read(tmp_path, object_file(btf), "own")


def test_struct_that_is_not_asked_for_may_have_anything(tmp_path: Path) -> None:
    """What no one reads may have bit-fields."""
    btf = Btf()
    btf.structure("other", 4, [("bits", btf.integer("unsigned int", 4), 3)])

    assert read(tmp_path, object_file(btf), "own").structs == {}


def test_missing_file(tmp_path: Path) -> None:
    """An object that is not there is an error with its path and the reason."""
    with pytest.raises(LayoutError, match=r"none\.bpf\.o: No such file or directory$"):
        read_object(tmp_path / "none.bpf.o", frozenset())


def test_object_without_btf(tmp_path: Path) -> None:
    """An object that was compiled without -g is refused with the cure."""
    with pytest.raises(LayoutError, match=r"no \.BTF section; compile with clang -g"):
        read(tmp_path, elf([(".text", b"\0" * 8)]))


def test_big_endian_btf(tmp_path: Path) -> None:
    """BTF of the other byte order is refused."""
    swapped = b"\xeb\x9f" + Btf().bytes()[2:]
    with pytest.raises(LayoutError, match="not little-endian BTF"):
        read(tmp_path, elf([(".BTF", swapped), (".symtab", bytes(24)), (".strtab", b"\0")]))


@pytest.mark.parametrize("cut", [1, 23, 24, 40, 60])
def test_cut_btf(tmp_path: Path, cut: int) -> None:
    """A section that ends early is refused."""
    btf = Btf()
    btf.structure("own", 4, [("a", btf.integer("unsigned int", 4), 0)])
    with pytest.raises(LayoutError):
        read(tmp_path, elf([(".BTF", btf.bytes()[:cut]), (".symtab", bytes(24)), (".strtab", b"\0")]), "own")


def test_type_that_does_not_exist(tmp_path: Path) -> None:
    """A member of a type beyond the last one is refused."""
    btf = Btf()
    btf.structure("own", 4, [("a", 99, 0)])
    with pytest.raises(LayoutError, match="damaged BTF"):
        read(tmp_path, object_file(btf), "own")


def test_array_of_void(tmp_path: Path) -> None:
    """An array whose element has no size is refused."""
    btf = Btf()
    btf.structure("own", 4, [("a", btf.add(ARRAY, trailer=bytes(12)), 0)])
    with pytest.raises(LayoutError, match="BTF kind 0"):
        read(tmp_path, object_file(btf), "own")


def kernel_btf(*kinds: tuple[str, int, int, int]) -> bytes:
    """BTF of types that are (name, kind, members, target), numbered from 1, as a kernel has it."""
    strings, types = b"\0", b""
    for name, kind, members, target in kinds:
        at = len(strings) if name else 0
        strings += name.encode() + b"\0" if name else b""
        types += struct.pack("<III", at, kind << 24 | members, target) + bytes(8 * members + 4 * (kind == 1))
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


INT, PROTOTYPE = 1, 13


@pytest.mark.parametrize("parameters", [0, 2, 3])
def test_parameters_of_a_prototype(parameters: int) -> None:
    """A tracepoint's prototype is a typedef of a pointer to it; others with a name that contains its own are others."""
    section = kernel_btf(
        ("int", INT, 0, 4),
        ("", PROTOTYPE, parameters, 0),
        ("", PTR, 0, 2),
        ("btf_trace_issue_too", TYPEDEF, 0, 1),
        ("btf_trace_issue", TYPEDEF, 0, 3),
    )

    assert prototype_parameters(section, b"btf_trace_issue") == parameters
    assert prototype_parameters(section, b"btf_trace_issue_too") is None
    assert prototype_parameters(section, b"trace_issue") is None


def test_damaged_kernel_btf() -> None:
    """What is cut, or leads nowhere or to itself, is an error or nothing, and no endless loop."""
    whole = kernel_btf(("a", TYPEDEF, 0, 2), ("b", TYPEDEF, 0, 1), ("c", TYPEDEF, 0, 99))

    assert prototype_parameters(whole, b"a") is None
    with pytest.raises(LayoutError):
        prototype_parameters(whole, b"c")
    with pytest.raises(LayoutError):
        prototype_parameters(whole[:10], b"a")
