"""The settings from values by path, and the value of a path from settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from perflens.config.keys import Catalogue, KeyPath
from perflens.config.settings import Settings

__all__ = ["build", "implied_catalogue", "value_at"]

Owner = TypeVar("Owner")


def build(owner: type[Owner], path: KeyPath, values: Mapping[KeyPath, Any]) -> Owner:
    """An instance of a settings class: the values under the path, and its defaults."""
    hints = get_type_hints(owner)
    given: dict[str, Any] = {}
    for declared in fields(owner):  # type: ignore[arg-type]
        given.update(argument(declared, hints[declared.name], path, values))
    return owner(**given)


def argument(declared: Field[Any], hint: Any, parent: KeyPath, values: Mapping[KeyPath, Any]) -> dict[str, Any]:
    path = (*parent, declared.name)
    if is_dataclass(hint):
        return {declared.name: build(hint, path, values)}  # type: ignore[arg-type]
    if get_origin(hint) is Mapping:
        return {declared.name: mapping(get_args(hint)[1], path, values)}
    return {declared.name: values[path]} if path in values else {}


def mapping(value: Any, path: KeyPath, values: Mapping[KeyPath, Any]) -> Mapping[str, Any]:
    """A table, or the probes by name, which stand beside the other keys of their section."""
    if not is_dataclass(value):
        return MappingProxyType({each[-1]: values[each] for each in values if each[:-1] == path})
    parent = path[:-1]
    depth = len(parent)
    names = sorted({each[depth] for each in values if each[:depth] == parent and len(each) > depth + 1})
    return MappingProxyType({name: build(value, (*parent, name), values) for name in names})  # type: ignore[arg-type]


def value_at(settings: Settings, path: KeyPath) -> Any:
    """The value of a key; None for an entry that a table does not have."""
    value: Any = settings
    for name in path:
        value = member(value, name)
    return value


def member(owner: Any, name: str) -> Any:
    if isinstance(owner, Mapping):
        return owner.get(name)
    return getattr(owner, name) if name in {declared.name for declared in fields(owner)} else owner[name]


def implied_catalogue(*several: Settings) -> dict[str, Catalogue]:
    """The probes and operations that settings name, where the real catalogue is not at hand."""
    names = sorted({name for settings in several for name in settings.probes.by_name})
    return {name: Catalogue(named_operations(name, several), ()) for name in names}


def named_operations(name: str, several: tuple[Settings, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for settings in several for each in settings.probes[name].thresholds))
