"""kernel/bcc_source.py: C that declares what an object has."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.bcc_source import FOLDER, declarations, program
from perflens.registry import discover

TYPES = "".join(f"typedef {kind} {name};\n" for name, kind in {"__u8": "unsigned char", "__u16": "unsigned short"}.items()) + (
    "typedef unsigned int __u32;\ntypedef int __s32;\ntypedef unsigned long long __u64;\ntypedef long long __s64;\n"
)


def declared(family: str, **constants: int) -> str:
    """The declarations of a family's object."""
    types = object_types(object_path(family, platform.machine()))
    return declarations(types, types.structs, constants)


@pytest.mark.parametrize("family", discover())
def test_a_compiler_lays_them_out_as_the_object_does(family: str, tmp_path: Path) -> None:
    """Size of each struct and place of each member, as the object's BTF has them."""
    types = object_types(object_path(family, platform.machine()))
    proofs = [
        f"_Static_assert(__builtin_offsetof(struct {name}, {field.name}) == {field.offset} && "
        f'sizeof(((struct {name} *)0)->{field.name}) == {field.size}, "{name}.{field.name}");'
        for name, layout in types.structs.items()
        for field in layout.fields.values()
    ]
    changing = {name: own.field for name, own in types.variables.items() if own.section == ".bss" and own.field.typename != "pointer"}
    proofs += [f'_Static_assert(__builtin_offsetof(struct variables, {name}) == {own.offset}, "{name}");' for name, own in changing.items()]
    source = tmp_path / "all.c"
    source.write_text("\n".join((TYPES, declared(family), *proofs)))
    done = subprocess.run(["clang", "-fsyntax-only", "-Wall", "-Werror", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(proofs) > 20


def test_constants_are_macros_in_capitals() -> None:
    """A truth value is a number."""
    text = declared("file", shard_mask=7, shared_slots=True)
    assert "\n#define SHARD_MASK 7\n#define SHARED_SLOTS 1\n" in text


def test_enums_of_the_kernel_are_left_to_its_headers() -> None:
    """They have other numbers there, perhaps."""
    text = declared("block")
    assert "enum block_part { BLOCK_HELD = 0, BLOCK_QUEUE = 1," in text
    assert "pageflags" not in text
    assert "req_flag_bits" not in text
    assert "rqf_flags" not in text


@pytest.mark.parametrize("family", discover())
def test_a_program_has_what_it_includes_in_it_once(family: str) -> None:
    """bcc rewrites the main file alone."""
    text = program(family).text
    assert '#include "' not in text
    assert text.count("static void count(u32 which)") == 1
    assert text.count("static __always_inline __u32 bucket_in(") == 1
    assert "#include <linux/sched.h>" in text


@pytest.mark.parametrize(
    ("family", "first", "by_hand"),
    [("file", "sys_exit", ()), ("block", "block_io_done", ("block_request_is_over",)), ("process", "sched_process_exit", ())],
)
def test_what_ends_operations_is_attached_first(family: str, first: str, by_hand: tuple[str, ...]) -> None:
    """An operation whose end could not be seen must not begin."""
    found = program(family)
    assert next(iter(found.tracepoints.values())) == first
    assert found.by_hand == by_hand


def test_family_without_a_program() -> None:
    """Not each need have one for bcc."""
    with pytest.raises(ProbeError, match="network has no program for bcc"):
        program("network")


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    """Its file is named."""
    (tmp_path / "file.c").write_text('#include "common.h"\n')
    with pytest.raises(ProbeError, match=r"common\.h: No such file or directory"):
        program("file", tmp_path)


def test_the_sources_are_those_of_the_repository() -> None:
    """What is installed is what is compiled here."""
    root = Path(__file__).parents[3] / "bpf"
    for file in FOLDER.iterdir():
        origin = root / "bcc" / file.name
        assert file.read_text() == (origin if origin.exists() else root / "include" / file.name).read_text()
