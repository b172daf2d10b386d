"""config/parser.py: the errors of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from perflens.config import Catalogue, Parser, Settings, add_flags, collected
from perflens.errors import ConfigError

MISTAKES = {
    ("--thresold=5ms",): ["--thresold: unknown flag; did you mean --threshold?"],
    ("--web.listen_address=:1",): ["--web.listen_address: unknown flag; did you mean --web.listen-address?"],
    ("--log.lev=info",): ["--log.lev: unknown flag; did you mean --log.level?"],
    ("--no-web.enable-lifecyle",): ["--no-web.enable-lifecyle: unknown flag; did you mean --no-web.enable-lifecycle?"],
    ("--probe.nfs",): ["--probe.nfs: unknown flag; did you mean --probe.file?"],
    ("--zzz", "value"): ["--zzz: unknown flag; see --help"],
    ("-x",): ["-x: unknown flag; see --help"],
    ("--\x1b[31m",): ["'--\\x1b[31m': unknown flag; see --help"],
    ("--threshold",): ["--threshold: has no value; write --threshold=VALUE"],
    ("--threshold", "--cells=64"): ["--threshold: has no value; write --threshold=VALUE"],
    ("--web.enable-lifecycle=true",): ["--web.enable-lifecycle: takes no value; write --web.enable-lifecycle alone"],
    ("start",): ["command line: unexpected argument 'start'; leave it out; see --help"],
    ("--cels=64", "--thresold=5ms"): [
        "--cels: unknown flag; did you mean --cells?",
        "--thresold: unknown flag; did you mean --threshold?",
    ],
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(from_arguments: Callable[..., Settings | list[str]], arguments: tuple[str, ...]) -> None:
    """A mistake on the command line is one line with a cure, without a dump of the usage."""
    assert from_arguments(list(arguments)) == MISTAKES[arguments]


def commands(catalogue: Mapping[str, Catalogue]) -> Parser:
    parser = Parser(prog="perflens")
    command = parser.add_subparsers(dest="command", required=True).add_parser("run")
    add_flags(command, catalogue)
    return parser


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--cels=64"], r"^--cels: unknown flag; did you mean --cells\?$"),
        (["run", "--cells"], r"^--cells: has no value; write --cells=VALUE$"),
        (["rnu"], r"^command: .*invalid choice: 'rnu'.*; see --help$"),
        ([], r"^command line: the following arguments are required: command; see --help$"),
    ],
)
def test_commands(catalogue: Mapping[str, Catalogue], arguments: list[str], message: str) -> None:
    """The parsers of commands behave alike."""
    with pytest.raises(ConfigError, match=message):
        commands(catalogue).parse_args(arguments)


def test_commands_collect(catalogue: Mapping[str, Catalogue]) -> None:
    """The flags of a command are collected, and nothing else of the namespace."""
    namespace = commands(catalogue).parse_args(["run", "--cells=64", "--probe.file", "--config.file=x"])
    assert collected(namespace) == {"--cells": ["64"], "--probe.file": ["true"], "--config.file": ["x"]}
