"""The settings that command-line flags make, one flag for each key."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from perflens.config.keys import Catalogue, Key, Section, leaves, tree
from perflens.config.layer import Layer
from perflens.config.parser import Parser
from perflens.config.thresholds import take_thresholds
from perflens.config.values import span, written
from perflens.config.wording import printable, suggestion

__all__ = ["CONFIG_FILE", "Parser", "add_flags", "collected", "from_flags"]

CONFIG_FILE = "--config.file"
PER_OPERATION = " Also for single operations: read=1ms or file.read=1ms; comma separated, may be repeated."


def add_flags(parser: argparse.ArgumentParser, catalogue: Mapping[str, Catalogue]) -> None:
    """Declare the flag of every key, and ``--config.file``."""
    group = parser.add_argument_group("configuration")
    add_text(group, CONFIG_FILE, "FILE", "Configuration file, in YAML (default: none)")
    for key in leaves(tree(catalogue)):
        if key.kind == "boolean":
            add_switch(group, key)
        elif not key.entry:
            add_text(group, key.flag, metavar(key), described(key))


def collected(namespace: argparse.Namespace) -> dict[str, list[str]]:
    """The values of the flags that were given, by flag, for ``load``."""
    return {name: list(values) for name, values in vars(namespace).items() if name.startswith("--")}


def from_flags(arguments: Mapping[str, list[str]], tree: Section) -> Layer:
    """What the flags say; of a flag that is given twice the last counts, but all are checked."""
    layer = Layer()
    known = {key.flag: key for key in leaves(tree) if not key.entry}
    for flag, texts in arguments.items():
        if flag in known:
            take(layer, tree, known[flag], texts)
        elif flag != CONFIG_FILE:
            layer.refuse(printable(flag), "", "unknown flag", suggestion(flag, known, "see --help"))
    return layer


def take(layer: Layer, tree: Section, key: Key, texts: list[str]) -> None:
    for text in texts:
        if key.path == ("threshold",):
            take_thresholds(layer, tree, text, key.flag)
        else:
            layer.take(key, text, key.flag)


def add_text(group: argparse._ArgumentGroup, flag: str, metavar: str, text: str) -> None:
    group.add_argument(flag, dest=flag, action="append", default=argparse.SUPPRESS, metavar=metavar, help=text.replace("%", "%%"))


def add_switch(group: argparse._ArgumentGroup, key: Key) -> None:
    """Two flags without a value, on and off: the last one given counts."""
    for flag, value, text in ((key.flag, "true", described(key)), (key.off_flag, "false", f"Turn {key.flag} off.")):
        group.add_argument(flag, dest=key.flag, action="append_const", const=value, default=argparse.SUPPRESS, help=text.replace("%", "%%"))


def described(key: Key) -> str:
    limits = f" Written {span(key)}." if key.limits and key.kind != "list" else ""
    operations = PER_OPERATION if key.path == ("threshold",) else ""
    return f"{key.help}{limits}{operations} (default: {written(key, key.default) or 'none'})"


def metavar(key: Key) -> str:
    if key.kind == "choice":
        return "|".join(key.choices)
    return {"integer": "NUMBER", "duration": "DURATION"}.get(key.kind, key.path[-1].upper())
