"""config/schema.py: the JSON Schema of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from perflens.config import Catalogue, schema


def nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("properties", {}).values():
        yield from nodes(child)


def test_closed(catalogue: Mapping[str, Catalogue]) -> None:
    """Every section is closed, every node described, and the whole is JSON."""
    whole = schema(catalogue)
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(whole)) == whole
    for node in nodes(whole):
        assert node["description"]
        assert ("properties" in node) == (node.get("additionalProperties") is False)


def test_keys(catalogue: Mapping[str, Catalogue]) -> None:
    """A key has its type, default, limits or values."""
    properties = schema(catalogue)["properties"]
    assert properties["cells"] | {"description": ""} == {
        "description": "",
        "type": "integer",
        "minimum": 64,
        "maximum": 65_536,
        "default": 4096,
    }
    assert properties["log"]["properties"]["level"]["enum"] == ["debug", "info", "warn", "error"]
    assert properties["web"]["properties"]["listen_address"]["default"] == [":9435"]
    assert "minItems" not in properties["filter"]["properties"]["pid"]
    assert properties["filter"]["properties"]["pid"]["maxItems"] == 16
    assert properties["web"]["properties"]["listen_address"]["minItems"] == 1
    assert properties["probes"]["properties"]["socket"]["properties"]["attach"]["enum"] == ["auto", "raw_tp"]
    assert list(properties["probes"]["properties"]["socket"]["properties"]["thresholds"]["properties"]) == ["read", "connect"]
    assert "default" not in properties["probes"]["properties"]["socket"]["properties"]["thresholds"]["properties"]["read"]


def test_duration_pattern(catalogue: Mapping[str, Catalogue]) -> None:
    """The pattern of a duration takes what the agent takes, and no bare number."""
    pattern = schema(catalogue)["properties"]["threshold"]["pattern"]
    assert all(re.search(pattern, text) for text in ("5ms", "1h30m", "250us", "1.5s"))
    assert not any(re.search(pattern, text) for text in ("", "5", "-5ms", "5 ms", "1m1h", "5parsecs"))
