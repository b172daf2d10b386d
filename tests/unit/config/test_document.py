"""config/document.py: the parts of YAML that a configuration has no use for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perflens.config import Settings

SYNTAX = "write key: value, indent with spaces, and quote what begins with another sign"
DEEP = "is nested too deep; keep to at most 16 levels"
BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + at)}: &{chr(98 + at)} [*{chr(97 + at)}, *{chr(97 + at)}]\n" for at in range(20))

MISTAKES = {
    "a: &x 1": ["1: the anchor &x is not allowed; write the value out where it is used"],
    "web: &w {}\nlog: *w": [
        "1: the anchor &w is not allowed; write the value out where it is used",
        "2: the alias *w is not allowed; write the value out",
    ],
    "threshold: !!str 5ms": ["1: the tag tag:yaml.org,2002:str is not allowed; write the value without a tag"],
    "a: !python/object/apply:os.system ['id']": ["1: the tag !python/object/apply:os.system is not allowed; write the value without a tag"],
    "threshold: ! 5ms": ["1: the tag ! is not allowed; write the value without a tag"],
    "threshold: 5ms\n---\ncells: 100": ["2: another document starts here; keep one document in the file"],
    "web:\n\ttelemetry_path: /x": ["2: a tab in column 1; indent with spaces"],
    "threshold: 5ms\n  cells: 3": [f"2: not YAML in column 8: mapping values are not allowed here; {SYNTAX}"],
    "threshold: [": [f"1: not YAML in column 13: expected the node content, but found '<stream end>'; {SYNTAX}"],
    "threshold: '5ms": [f"1: not YAML in column 16: found unexpected end of stream; {SYNTAX}"],
    "threshold: @5ms": [f"1: not YAML in column 12: found character '@' that cannot start any token; {SYNTAX}"],
    "%YAML 2.0\n---\n{}": [f"1: not YAML in column 1: found incompatible YAML document (version 1.* is required); {SYNTAX}"],
    'a: 1\nb: "\\UFFFFFFFF"': ["2: has an escape or directive that YAML does not allow; remove it"],
    f"%YAML 1.{'9' * 5000}\n---\n": ["1: has an escape or directive that YAML does not allow; remove it"],
    "\n" + "[" * 100_000: [f"2: {DEEP}"],
    "a: " + "{a: " * 50: [f"1: {DEEP}"],
    "- " * 50_000: [f"1: {DEEP}"],
    f"x: [{'1,' * 11_000}]": ["1: has too many entries; keep to at most 10000"],
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: repr(text[:50]))
def test_mistakes(from_text: Callable[[str], Settings | list[str]], text: str) -> None:
    """What is not plain YAML is refused with the line where it stands."""
    assert from_text(text) == [f"perflens.yaml:{line}" for line in MISTAKES[text]]


def test_bomb(from_text: Callable[[str], Settings | list[str]]) -> None:
    """Aliases of aliases are refused before anything is built of them."""
    found = from_text(BOMB)
    assert isinstance(found, list)
    assert len(found) == 61
