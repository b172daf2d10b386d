"""The configuration file as a JSON Schema, for editors and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perflens.config import durations
from perflens.config.keys import Catalogue, Key, Section, tree
from perflens.config.rules import RULES
from perflens.config.values import span, written

__all__ = ["schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(catalogue: Mapping[str, Catalogue]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration file."""
    return {"$schema": DIALECT, "title": "PerfLens configuration", **of_section(tree(catalogue))}


def of_section(section: Section) -> dict[str, Any]:
    properties = {name: of_key(child) if isinstance(child, Key) else of_section(child) for name, child in section.children.items()}
    return {"type": ["object", "null"], "description": section.help, "additionalProperties": False, "properties": properties}


def of_key(key: Key) -> dict[str, Any]:
    default = {} if key.default is None else {"default": default_of(key)}
    return {"description": described(key), **constraints(key), **default}


def described(key: Key) -> str:
    return f"{key.help} Written {span(key)}." if key.kind == "duration" else key.help


def default_of(key: Key) -> Any:
    if key.kind == "list":
        return list(key.default)
    return written(key, key.default) if key.kind == "duration" else key.default


def constraints(key: Key) -> dict[str, Any]:
    match key.kind:
        case "boolean":
            return {"type": "boolean"}
        case "integer":
            return {"type": "integer", **limits(key)}
        case "duration":
            return {"type": "string", "pattern": durations.PATTERN}
        case "choice":
            return {"type": "string", "enum": list(key.choices)}
        case "list":
            least = {"minItems": 1} if key.default else {}
            most = {"maxItems": key.limits[1]} if key.limits else {}
            return {"type": "array", "items": text(key), **least, **most, "uniqueItems": True}
    return text(key)


def limits(key: Key) -> dict[str, int]:
    return {"minimum": key.limits[0], "maximum": key.limits[1]} if key.limits else {}


def text(key: Key) -> dict[str, Any]:
    return {"type": "string", "pattern": RULES[key.path].pattern}
