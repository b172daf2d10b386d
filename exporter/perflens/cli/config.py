"""Check the configuration, show it with the defaults filled in, or print its JSON Schema."""

from __future__ import annotations

import argparse
import json

from perflens.cli.context import Context
from perflens.cli.output import ended
from perflens.config import schema, show

__all__ = ["execute", "register"]


def register(parser: argparse.ArgumentParser) -> None:
    """Add what to do with the configuration."""
    parser.add_argument("action", choices=("check", "show", "schema"), help="what to do with the configuration")


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the result; ConfigError when the configuration cannot be used."""
    if arguments.action == "schema":
        return ended(lambda: print(json.dumps(schema(context.catalogue), indent=2)))
    settings = context.settings(arguments)
    if settings.web.config_file and arguments.action == "check":
        from perflens.web_config.front import check

        check(settings.web.config_file)
    text = show(settings) if arguments.action == "show" else "the configuration is good\n"
    return ended(lambda: print(text, end=""))
