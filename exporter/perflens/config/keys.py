"""Every configuration key as a value, read off the settings classes: the one source of flags, variables and schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from perflens.config.settings import AttachMode, Settings

__all__ = ["Catalogue", "Key", "KeyPath", "Section", "leaves", "tree"]

Kind = Literal["boolean", "integer", "duration", "choice", "text", "list"]
KeyPath = tuple[str, ...]

PREFIX = "PERFLENS"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one probe offers to the configuration: its operations, and the rungs by which it can be attached."""

    operations: tuple[str, ...]
    rungs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One scalar (or list) of the configuration."""

    path: KeyPath
    kind: Kind
    default: Any
    help: str
    reload: bool
    limits: tuple[int, int] | None
    choices: tuple[str, ...]
    entry: bool
    """Whether it is one name of a table: it has no flag and no variable of its own."""
    own_flag: str = ""
    """Its flag, where other programs have one of another form."""

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def flag(self) -> str:
        """``--web.listen-address``; ``--probe.file`` for whether a probe is enabled."""
        if self.own_flag:
            return self.own_flag
        path = ("probe", *self.path[1:-1]) if self.path[-1] == "enabled" else self.path
        return "--" + ".".join(path).replace("_", "-")

    @property
    def off_flag(self) -> str:
        """The flag that turns a boolean off."""
        return "--no-" + self.flag.removeprefix("--")

    @property
    def variable(self) -> str:
        return "_".join((PREFIX, *self.path)).replace("-", "_").upper()


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of the configuration, with the keys and sections in it."""

    path: KeyPath
    help: str
    children: Mapping[str, Section | Key]


def tree(catalogue: Mapping[str, Catalogue]) -> Section:
    """The whole configuration, with the probes of the catalogue."""
    return section(Settings, (), catalogue)


def leaves(section: Section) -> Iterator[Key]:
    """Every key of a section, in the order of its declaration."""
    for child in section.children.values():
        if isinstance(child, Key):
            yield child
        else:
            yield from leaves(child)


def section(owner: type, path: KeyPath, catalogue: Mapping[str, Catalogue]) -> Section:
    hints = get_type_hints(owner)
    children: dict[str, Section | Key] = {}
    for declared in fields(owner):
        children.update(expanded(declared, hints[declared.name], path, catalogue))
    return Section(path, (owner.__doc__ or "").strip(), children)


def expanded(declared: Field[Any], hint: Any, parent: KeyPath, catalogue: Mapping[str, Catalogue]) -> dict[str, Section | Key]:
    """What a field adds to its section: itself, or, for a mapping of dataclasses, each of its names."""
    path = (*parent, declared.name)
    if is_dataclass(hint):
        return {declared.name: section(hint, path, catalogue)}  # type: ignore[arg-type]
    if get_origin(hint) is not Mapping:
        return {declared.name: leaf(declared, hint, path, choices(hint, path, catalogue))}
    value = get_args(hint)[1]
    if is_dataclass(value):
        return {name: section(value, (*parent, name), catalogue) for name in catalogue}  # type: ignore[arg-type]
    return {declared.name: table(declared, value, path, catalogue[parent[-1]].operations)}


def table(declared: Field[Any], hint: Any, path: KeyPath, names: tuple[str, ...]) -> Section:
    entries = {name: leaf(declared, hint, (*path, name), (), entry=True) for name in names}
    return Section(path, declared.metadata["help"], entries)


def leaf(declared: Field[Any], hint: Any, path: KeyPath, choices: tuple[str, ...], *, entry: bool = False) -> Key:
    known = declared.metadata
    default = None if entry or declared.default is MISSING else declared.default
    return Key(path, kind(hint, known["duration"]), default, known["help"], known["reload"], known["limits"], choices, entry, known["flag"])


def kind(hint: Any, duration: bool) -> Kind:
    if hint is AttachMode or get_origin(hint) is Literal:
        return "choice"
    if get_origin(hint) is tuple:
        return "list"
    kinds: dict[Any, Kind] = {bool: "boolean", str: "text", int: "duration" if duration else "integer"}
    return kinds[hint]


def choices(hint: Any, path: KeyPath, catalogue: Mapping[str, Catalogue]) -> tuple[str, ...]:
    """The values of an enumeration; of the ways to attach, those that the probe has."""
    if hint is AttachMode:
        return ("auto", *catalogue[path[-2]].rungs)
    return get_args(hint) if get_origin(hint) is Literal else ()
