"""The settings that the YAML file makes: every key known, given once, and of the right type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from perflens.config.document import compose
from perflens.config.keys import Key, Section
from perflens.config.layer import Layer
from perflens.config.source import Unreadable, read_text
from perflens.config.values import cure
from perflens.config.wording import either, printable, quoted, suggestion

__all__ = ["MERGE", "described", "from_file", "is_empty", "line_of", "resolved"]

MERGE = "tag:yaml.org,2002:merge"
NAMES = {"bool": "the boolean", "int": "the number", "float": "the number", "timestamp": "the date"}


def from_file(path: str | None, tree: Section) -> Layer:
    """What the file says; nothing if there is none."""
    layer = Layer()
    if path is None:
        return layer
    name = printable(path)
    try:
        root, problems = compose(read_text(path), name)
    except Unreadable as error:
        layer.refuse(f"{name}:{error.line}" if error.line else name, "", error.message, error.cure)
    else:
        layer.problems.extend(problems)
        Reader(layer, name).read(root, tree)
    return layer


@dataclass(frozen=True, slots=True)
class Reader:
    """Takes the nodes of one file into a layer."""

    layer: Layer
    name: str

    def read(self, node: yaml.Node | None, section: Section) -> None:
        """A mapping whose keys the section knows; nothing at all stands for the defaults."""
        if node is None or resolved(node) == "null":
            return
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, ".".join(section.path), f"expected keys, found {described(node)}", "write KEY: VALUE, one a line")
            return
        for name, value in self.pairs(node, section):
            child = section.children[name]
            (self.read_key if isinstance(child, Key) else self.read)(value, child)  # type: ignore[arg-type]

    def pairs(self, node: yaml.MappingNode, section: Section) -> Iterator[tuple[str, yaml.Node]]:
        """The keys of a mapping that are known and not given before, with their values."""
        lines: dict[str, int] = {}
        for key, value in node.value:
            if problem := stranger(key, section):
                self.refuse(key, ".".join(section.path), *problem)
            elif key.value in lines:
                dotted = ".".join((*section.path, key.value))
                self.refuse(key, dotted, f"is given twice, first in line {lines[key.value]}", "leave one out")
            else:
                lines[key.value] = line_of(key)
                yield key.value, value

    def read_key(self, node: yaml.Node, key: Key) -> None:
        if key.kind == "list":
            self.read_list(node, key)
        elif wrong := mismatch(node, key):
            self.refuse(node, key.dotted, f"expected {NOUNS[key.kind]}, found {described(node)}", wrong)
        else:
            self.layer.take(key, node.value, self.source(node))

    def read_list(self, node: yaml.Node, key: Key) -> None:
        may_be_empty = not key.default
        if not isinstance(node, yaml.SequenceNode) or not (node.value or may_be_empty):
            self.refuse(node, key.dotted, f"expected a list, found {described(node)}", 'write it as ["…", "…"]')
            return
        if not node.value:
            self.layer.values[key.path] = ()
        for item in node.value:
            if wrong := mismatch(item, key):
                self.refuse(item, key.dotted, f"expected text, found {described(item)}", wrong)
            else:
                self.layer.take(key, item.value, self.source(item))

    def source(self, node: yaml.Node) -> str:
        return f"{self.name}:{line_of(node)}"

    def refuse(self, node: yaml.Node, key: str, message: str, cure: str) -> None:
        self.layer.refuse(self.source(node), key, message, cure)


NOUNS = {"boolean": "true or false", "integer": "a number", "duration": "a duration", "choice": "a name", "text": "text"}


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "" and not node.style


def stranger(key: yaml.Node, section: Section) -> tuple[str, str] | None:
    """What is wrong with the name of a key, and the cure."""
    if not isinstance(key, yaml.ScalarNode):
        return f"expected the name of a key, found {described(key)}", "write KEY: VALUE"
    if key.tag == MERGE:
        return "merge keys are not allowed", "write the keys out"
    if key.value in section.children:
        return None
    names = list(section.children)
    otherwise = f"write {either(names)}" if names else "leave it out"
    return f"unknown {noun(section)} {quoted(key.value)}", suggestion(key.value, names, otherwise)


def noun(section: Section) -> str:
    if section.path == ("probes",):
        return "probe"
    return "operation" if section.path[-1:] == ("thresholds",) else "key"


def mismatch(node: yaml.Node, key: Key) -> str | None:
    """The cure for a node of the wrong type; texts are left to the rules of their key."""
    if not isinstance(node, yaml.ScalarNode) or is_empty(node) or resolved(node) == "null":
        return cure(key)
    if key.kind in ("boolean", "integer"):
        return "write it without quotes" if node.style else None
    return "write it in quotes" if key.kind in ("text", "list") and resolved(node) in NAMES else None


def resolved(node: yaml.Node) -> str:
    """The type that YAML 1.1 gives to a plain scalar: str, int, float, bool, null, timestamp."""
    return str(node.tag).rpartition(":")[2]


def described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "keys" if node.value else "an empty mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    if is_empty(node) or resolved(node) == "null":
        return "nothing"
    return f"{NAMES.get(resolved(node), 'the text')} {quoted(node.value)}"
