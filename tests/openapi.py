"""Holds values against the schemas of an OpenAPI document, as far as ours goes: anything else in a schema is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perflens.http.conform import is_of, resolved

__all__ = ["problems"]

_KNOWN = {"$ref", "type", "items", "properties", "required", "additionalProperties", "oneOf", "description"}


def problems(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yield where a value is not what the schema says."""
    assert set(schema) <= _KNOWN, schema
    if "$ref" in schema:
        yield from problems(value, resolved(schema["$ref"], document), document, at)
    if "oneOf" in schema and sum(not list(problems(value, own, document, at)) for own in schema["oneOf"]) != 1:
        yield f"{at}: fits not one of {schema['oneOf']}"
    if "type" in schema and not is_of(value, schema["type"]):
        yield f"{at}: {value!r} is no {schema['type']}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), document, f"{at}[{number}]")
    elif isinstance(value, dict):
        yield from _members(value, schema, document, at)


def _members(value: Mapping[str, Any], schema: Mapping[str, Any], document: Mapping[str, Any], at: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    yield from (f"{at}: lacks {name}" for name in schema.get("required", ()) if name not in value)
    for name, item in value.items():
        own = properties.get(name, others)
        if own is False:
            yield f"{at}: {name} is not declared"
        else:
            yield from problems(item, own, document, f"{at}.{name}")
