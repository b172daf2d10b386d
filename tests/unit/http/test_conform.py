"""http/conform.py: values held against the schemas of the document."""

from __future__ import annotations

from typing import Any

import pytest

from perflens.http.conform import problems

DOCUMENT = {"components": {"schemas": {"Tree": {"type": "object", "properties": {"below": {"$ref": "#/components/schemas/Tree"}}}}}}
NUMBER = {"type": "integer"}
POINT = {"type": "object", "properties": {"x": NUMBER}, "required": ["x"], "additionalProperties": False}


def found(value: Any, schema: Any, *, lenient: bool = False) -> list[str]:
    return list(problems(value, schema, DOCUMENT, "answer", lenient=lenient))


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (1, NUMBER, []),
        (True, NUMBER, ["answer is 'True', no integer"]),
        (1.5, {"type": "number"}, []),
        (None, {"type": ["integer", "null"]}, []),
        ({"x": 1}, POINT, []),
        ({}, POINT, ["answer lacks x"]),
        ({"x": "1", "y": 2}, POINT, ["answer.x is '1', no integer", "answer.y is not declared"]),
        ([1, "2"], {"type": "array", "items": NUMBER}, ["answer[1] is '2', no integer"]),
        ("3", {"oneOf": [NUMBER, {"type": "null"}]}, ["answer fits none of what it may be"]),
        (3, {"oneOf": [NUMBER, {"type": "null"}]}, []),
        ({"a": 1, "b": "2"}, {"type": "object", "additionalProperties": NUMBER}, ["answer.b is '2', no integer"]),
        ("x" * 99, NUMBER, [f"answer is '{'x' * 40}', no integer"]),
    ],
)
def test_problems(value: Any, schema: Any, expected: list[str]) -> None:
    """Each problem is named by its place."""
    assert found(value, schema) == expected


def test_lenient() -> None:
    """What is not declared may be there; what is declared must be."""
    assert found({"x": 1, "y": 2}, POINT, lenient=True) == []
    assert found({"y": 2}, POINT, lenient=True) == ["answer lacks x"]


def test_depth_is_bounded() -> None:
    """A value that is nested without end is a problem, not an endless search."""
    value: dict[str, Any] = {}
    for _ in range(500):
        value = {"below": value}
    (problem,) = found(value, {"$ref": "#/components/schemas/Tree"})

    assert problem.endswith(".below is nested too deep")
