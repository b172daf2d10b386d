"""Holds values against the schemas of the OpenAPI document, as far as ours goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["is_of", "problems", "resolved"]

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_LONGEST_SHOWN = 40
_DEEPEST = 32


def problems(
    value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], at: str, *, lenient: bool = False, depth: int = 0
) -> Iterator[str]:
    """Yield where a value is not what the schema says; ``lenient`` lets members be that are not declared."""
    if depth > _DEEPEST:
        yield f"{at} is nested too deep"
        return
    follow = {"lenient": lenient, "depth": depth + 1}
    if "$ref" in schema:
        yield from problems(value, resolved(schema["$ref"], document), document, at, **follow)  # type: ignore[arg-type]
        return
    if "oneOf" in schema and all(any(problems(value, own, document, at, **follow)) for own in schema["oneOf"]):  # type: ignore[arg-type]
        yield f"{at} fits none of what it may be"
    if "type" in schema and not is_of(value, schema["type"]):
        yield f"{at} is {str(value)[:_LONGEST_SHOWN]!r}, no {schema['type']}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), document, f"{at}[{number}]", **follow)  # type: ignore[arg-type]
    elif isinstance(value, dict):
        yield from _members(value, schema, document, at, follow)


def _members(
    value: Mapping[str, Any], schema: Mapping[str, Any], document: Mapping[str, Any], at: str, follow: Mapping[str, Any]
) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    yield from (f"{at} lacks {name}" for name in schema.get("required", ()) if name not in value)
    for name, item in value.items():
        own = properties.get(name, others)
        if own is not False:
            yield from problems(item, own, document, f"{at}.{_shown(name)}", **follow)
        elif not follow["lenient"]:
            yield f"{at}.{_shown(name)} is not declared"


def _shown(name: object) -> str:
    """The name of a member, which may be another's text, as a terminal may have it."""
    text = str(name)[:_LONGEST_SHOWN]
    return text if text.isprintable() else repr(text)


def is_of(value: Any, kinds: str | list[str]) -> bool:
    """Whether a value is of one of these types of a schema."""
    named = [kinds] if isinstance(kinds, str) else kinds
    return any(isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in named)


def resolved(reference: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference within the document leads to; KeyError when it leads nowhere."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, Mapping)
    return found
