"""The text that bcc compiles for a probe: declarations read from the CO-RE object, constants, and the program of bpf/bcc/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel.btf import ObjectTypes
from perflens.layout import Field, Layout

__all__ = ["FOLDER", "Program", "declarations", "program"]

FOLDER = Path(__file__).parent.parent / "objects" / "bcc"
_KERNELS_OWN = ("bpf_func_id", "cgroup_subsys_id", "pageflags", "req_flag_bits")  # declared by its headers
_INCLUDE = re.compile(r'^#include "(?:[^"]*/)?([^"/]+)"$', re.MULTILINE)
_ATTACH = re.compile(r"^ATTACH\((\w+), (\w+)\)$", re.MULTILINE)
_BY_HAND = re.compile(r"^BY_HAND\((\w+)\)$", re.MULTILINE)
_INTEGERS = {1: "8", 2: "16", 4: "32", 8: "64"}


@dataclass(frozen=True, slots=True)
class Program:
    """The text of a family, the tracepoint of each of its programs in the order in which they are attached, and those run by hand.

    Some of them are for other kernels: the compiler knows.
    """

    text: str
    tracepoints: Mapping[str, str]
    by_hand: tuple[str, ...]


def declarations(types: ObjectTypes, structs: Iterable[str], constants: Mapping[str, int]) -> str:
    """Return C that declares the enums of an object, these structs of it, its changing variables as ``struct variables``, and constants.

    A constant is a macro with its name in capitals.
    """
    made: dict[str, str] = {}
    for name in structs:
        _declare(types.struct(name), made)
    changing = {name: own.field for name, own in types.variables.items() if own.section == ".bss" and own.field.typename != "pointer"}
    end = max(field.offset + field.size for field in changing.values())
    _declare(Layout("variables", -(-end // 8) * 8, changing), made)
    enums = (_enum(name, members) for name, members in types.enums.items() if name not in _KERNELS_OWN and "___" not in name)
    defines = (f"#define {name.upper()} {value:d}" for name, value in constants.items())
    return "\n".join((*enums, *made.values(), *defines, ""))


def program(name: str, folder: Path = FOLDER) -> Program:
    """Return what there is for a probe, with the files that it includes in their place; ProbeError when one is missing."""
    if not (folder / f"{name}.c").exists():
        raise ProbeError(f"{name} has no program for bcc", "use a kernel with BTF, or give a file with --btf.path")
    included: set[str] = set()

    def text(file: str) -> str:
        if file in included:
            return ""
        included.add(file)
        return _INCLUDE.sub(lambda match: text(match[1]), (folder / file).read_text())

    try:
        whole = text(f"{name}.c")
    except OSError as error:
        raise ProbeError(f"{error.filename}: {error.strerror}", "run make, or reinstall perflens") from error
    return Program(whole, dict(_ATTACH.findall(whole)), tuple(_BY_HAND.findall(whole)))


def _enum(name: str, members: Mapping[str, int]) -> str:
    return f"enum {name} {{ {', '.join(f'{member} = {value}' for member, value in members.items())} }};"


def _declare(layout: Layout, made: dict[str, str]) -> None:
    """Declare a struct after those that are in it, with its padding, and let the compiler prove that it lies in memory as it should."""
    if layout.name in made:
        return
    for field in layout.fields.values():
        if field.layout is not None:
            _declare(field.layout, made)
    body = " ".join(_members(layout))
    proof = f'_Static_assert(sizeof(struct {layout.name}) == {layout.size}, "{layout.name}");'
    made[layout.name] = f"struct {layout.name} {{ {body} }};\n{proof}"


def _members(layout: Layout) -> Iterator[str]:
    at = 0
    for field in sorted(layout.fields.values(), key=lambda field: field.offset):
        if field.offset > at:
            yield f"char hole_{at}[{field.offset - at}];"
        yield f"{_type(field)} {field.name}{f'[{field.count}]' if field.count > 1 else ''};"
        at = field.offset + field.size
    if layout.size > at:
        yield f"char hole_{at}[{layout.size - at}];"


def _type(field: Field) -> str:
    if field.layout is not None:
        return f"struct {field.layout.name}"
    if field.typename == "char":
        return "char"
    return f"__{'s' if field.signed else 'u'}{_INTEGERS[field.size // field.count]}"
