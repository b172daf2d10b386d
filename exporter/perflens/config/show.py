"""Settings as a configuration file that gives them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from perflens.config.build import implied_catalogue, value_at
from perflens.config.keys import Key, Section, tree
from perflens.config.settings import Settings
from perflens.config.values import written

__all__ = ["show", "values"]


def show(settings: Settings) -> str:
    """The whole configuration as YAML: what is set, and the defaults of what is not."""
    return "\n".join(lines(tree(implied_catalogue(settings)), settings, "")) + "\n"


def values(settings: Settings) -> dict[str, Any]:
    """The whole configuration as values that JSON knows: sections and keys as in the file, durations as text."""
    return members(tree(implied_catalogue(settings)), settings)


def members(section: Section, settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, child in section.children.items():
        if isinstance(child, Section):
            found |= {name: members(child, settings)} if child.children else {}
        else:
            found[name] = plain(child, value_at(settings, child.path))
    return found


def plain(key: Key, value: Any) -> Any:
    if key.kind == "list":
        return list(value)
    return written(key, value) if key.kind == "duration" else value


def lines(section: Section, settings: Settings, indent: str) -> Iterator[str]:
    for name, child in section.children.items():
        if isinstance(child, Key):
            yield f"{indent}{name}: {scalar(child, value_at(settings, child.path))}"
        elif child.children:
            yield f"{indent}{name}:"
            yield from lines(child, settings, indent + "  ")


def scalar(key: Key, value: Any) -> str:
    """A value in YAML; quoted as in JSON where the user chose the text."""
    if key.kind in ("text", "list"):
        return json.dumps(value, ensure_ascii=False)
    return written(key, value)
