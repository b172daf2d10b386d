"""YAML text as a tree of nodes with line numbers, without the parts of YAML that a configuration has no use for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from perflens.config.wording import one_line
from perflens.errors import Problem

__all__ = ["compose"]

SYNTAX_CURE = "write key: value, indent with spaces, and quote what begins with another sign"
DEEPEST = 16
LARGEST = 10_000
ESCAPING = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)
"""What PyYAML lets out besides its own errors: ``"\\UFFFFFFFF"`` is a ValueError, as is a version of 5,000 digits."""
SUSPECT = re.compile(r"\\U(?!00(?:0[0-9A-Fa-f]|10))[0-9A-Fa-f]{8}|^%YAML", re.MULTILINE)


class _Stop(Exception):
    """Reading on makes no sense."""


def compose(text: str, name: str) -> tuple[yaml.Node | None, list[Problem]]:
    """The root of the only document, None if it is empty; or the problems that keep it from being read."""
    problems: list[Problem] = []
    try:
        for line, message, cure in objections(text):
            problems.append(Problem(f"{name}:{line}", "", message, cure))
        return (None if problems else yaml.compose(text, Loader=yaml.SafeLoader)), problems
    except _Stop:
        return None, problems
    except yaml.MarkedYAMLError as error:
        return None, [*problems, syntax_problem(error, name)]
    except ESCAPING:
        return None, [*problems, escape_problem(text, name)]


def objections(text: str) -> Iterator[tuple[int, str, str]]:
    """Walk over the events, which need no recursion, before anything is built; ends early with _Stop."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = line_of(event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        yield from limits(line, depth, documents, count)
        yield from features(line, event)


def line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def limits(line: int, depth: int, documents: int, count: int) -> Iterator[tuple[int, str, str]]:
    reasons = (
        (documents > 1, "another document starts here", "keep one document in the file"),
        (depth > DEEPEST, "is nested too deep", f"keep to at most {DEEPEST} levels"),
        (count > LARGEST, "has too many entries", f"keep to at most {LARGEST}"),
    )
    for beyond, message, cure in reasons:
        if beyond:
            yield line, message, cure
            raise _Stop


def features(line: int, event: Any) -> Iterator[tuple[int, str, str]]:
    if isinstance(event, yaml.AliasEvent):
        yield line, f"the alias *{str(event.anchor)[:60]} is not allowed", "write the value out"
    elif getattr(event, "anchor", None):
        yield line, f"the anchor &{event.anchor[:60]} is not allowed", "write the value out where it is used"
    if getattr(event, "tag", None):
        yield line, f"the tag {one_line(event.tag)[:60]} is not allowed", "write the value without a tag"


def escape_problem(text: str, name: str) -> Problem:
    found = SUSPECT.search(text)
    source = f"{name}:{1 + text.count(chr(10), 0, found.start())}" if found else name
    return Problem(source, "", "has an escape or directive that YAML does not allow", "remove it")


def syntax_problem(error: yaml.MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = error.problem or error.context or "cannot be read"
    if r"'\t'" in problem:
        return Problem(f"{name}:{line}", "", f"a tab in column {column}", "indent with spaces")
    return Problem(f"{name}:{line}", "", f"not YAML in column {column}: {one_line(problem)[:200]}", SYNTAX_CURE)
