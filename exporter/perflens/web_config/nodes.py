"""YAML nodes of known keys and types; what is wrong becomes a problem with its file, line, key and cure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from perflens.config.file import MERGE, described, is_empty, line_of, resolved
from perflens.config.wording import either, quoted, suggestion
from perflens.errors import Problem

__all__ = ["Nodes"]

_INTEGER = re.compile(r"0|[1-9][0-9]{0,8}")


class Nodes:
    """Reads the nodes of one file, and collects the problems. ``name`` is the file as people are shown it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[tuple[int, Problem]] = []

    @property
    def problems(self) -> list[Problem]:
        """What was wrong, in the order of the lines."""
        return [problem for _, problem in sorted(self._found, key=lambda own: own[0])]

    def refuse(self, node: yaml.Node, key: str, message: str, cure: str) -> None:
        """Note a problem where a node stands."""
        self._found.append((line_of(node), Problem(f"{self.name}:{line_of(node)}", key, message, cure)))

    def section(self, node: yaml.Node | None, path: str, known: Sequence[str]) -> dict[str, yaml.Node]:
        """Return the values of a mapping by key, of those keys that are known; nothing at all is an empty one."""
        return {name: value for name, key, value in self.pairs(node, path) if name in known or self._stranger(key, path, known)}

    def pairs(self, node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield name, key and value of each entry of a mapping; of a name that is given twice the first."""
        if node is None or is_empty(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, path, f"expected keys, found {described(node)}", "write KEY: VALUE, one a line")
            return
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                self.refuse(key, path, f"expected the name of a key, found {described(key)}", "write KEY: VALUE")
            elif key.value in lines:
                dotted = f"{path}.{key.value}".lstrip(".")
                self.refuse(key, dotted, f"is given twice, first in line {lines[key.value]}", "leave one out")
            else:
                lines[key.value] = line_of(key)
                yield key.value, key, value

    def _stranger(self, key: yaml.Node, path: str, known: Sequence[str]) -> bool:
        self.refuse(key, path, f"unknown key {quoted(key.value)}", suggestion(key.value, known, f"write {either(known)}"))
        return False

    def text(self, node: yaml.Node, key: str, cure: str, *, secret: bool = False) -> str:
        """Return a text; empty, with a problem, when it is none. Of a secret the problem shows nothing."""
        if isinstance(node, yaml.ScalarNode) and (node.style or resolved(node) == "str") and node.value:
            return str(node.value)
        self.refuse(node, key, "expected text" if secret else f"expected text, found {described(node)}", cure)
        return ""

    def texts(self, node: yaml.Node, key: str, cure: str) -> list[tuple[yaml.Node, str]]:
        """Return the texts of a list with their nodes."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.refuse(node, key, f"expected a list, found {described(node)}", cure)
            return []
        return [(item, text) for item in node.value if (text := self.text(item, key, cure))]

    def choice(self, node: yaml.Node, key: str, choices: Sequence[str], default: str) -> str:
        """Return one of several names; the default, with a problem, when it is none."""
        text = self.text(node, key, f"write {either(choices)}")
        if text and text not in choices:
            self.refuse(node, key, f"unknown value {quoted(text)}", suggestion(text, choices, f"write {either(choices)}"))
        return text if text in choices else default

    def boolean(self, node: yaml.Node, key: str) -> bool | None:
        """Return true or false; None, with a problem, when it is neither."""
        if isinstance(node, yaml.ScalarNode) and not node.style and node.value in ("true", "false"):
            return bool(node.value == "true")
        self.refuse(node, key, f"expected true or false, found {described(node)}", "write true or false")
        return None

    def number(self, node: yaml.Node, key: str, least: int) -> int:
        """Return a whole number; the least, with a problem, when it is none or below that."""
        if isinstance(node, yaml.ScalarNode) and not node.style and _INTEGER.fullmatch(node.value) and int(node.value) >= least:
            return int(node.value)
        self.refuse(node, key, f"expected a number, found {described(node)}", f"write a whole number from {least} to 999999999")
        return least
