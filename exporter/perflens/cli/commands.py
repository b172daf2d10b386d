"""The subcommands and what they share: the catalogue of probes, and the configuration."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from importlib import import_module

from perflens import __version__
from perflens.cli.context import Context
from perflens.config import Parser, add_flags

__all__ = ["dispatch", "parser"]

_COMMANDS = ("run", "check", "selftest", "probes", "top", "config", "analyze", "events", "timeline", "flame", "capsule")


def parser(context: Context, asked: str) -> Parser:
    """Build the parser; of the commands only the one that is asked for is imported whole: an agent has no use for the others."""
    whole = Parser(prog="perflens", description="Finds and explains slow operations on Linux hosts.")
    whole.add_argument("--version", action="version", version=f"perflens {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (asked,) if asked else _COMMANDS:
        module = import_module(f"perflens.cli.{name}")
        summary = (module.__doc__ or "").strip().splitlines()[0]
        own = commands.add_parser(name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.register(own)
        if getattr(module, "configurable", True):  # who asks a running agent has no configuration
            add_flags(own, context.catalogue)
    return whole


def dispatch(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Parse ``argv`` and run the command; PerfLensError for what the user can mend."""
    context = Context.of(os.environ if environment is None else environment)
    arguments = parser(context, argv[0] if argv and argv[0] in _COMMANDS else "").parse_args(argv)
    code: int = import_module(f"perflens.cli.{arguments.command}").execute(arguments, context)
    return code
