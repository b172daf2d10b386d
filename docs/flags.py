"""docs/cli.md: every command with its flags, from the parser that reads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from perflens.cli import commands
from perflens.cli.context import Context

__all__ = ["NOTICE", "cli", "declared"]

NOTICE = "<!-- Written by `python -m docs.generate` from the code: do not edit. -->"
_CONFIGURATION = "configuration"


def declared() -> Mapping[str, Mapping[str, argparse.Action]]:
    """Return the actions of each command by how they are written: ``--json``, ``--output``; those of the configuration are left out."""
    return {name: dict(_own(parser)) for name, parser in _parsers().items()}


def _parsers() -> Mapping[str, argparse.ArgumentParser]:
    whole = commands.parser(Context.of({}), "")
    (actions,) = (action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    found: Mapping[str, argparse.ArgumentParser] = actions.choices
    return found


def _own(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for group in parser._action_groups:
        for action in group._group_actions if group.title != _CONFIGURATION else ():
            if not isinstance(action, argparse._HelpAction):
                yield (action.option_strings[0] if action.option_strings else action.dest), action


def _is_configurable(parser: argparse.ArgumentParser) -> bool:
    return any(group.title == _CONFIGURATION for group in parser._action_groups)


def _written(action: argparse.Action) -> str:
    choices = "\\|".join(map(str, action.choices or ()))
    if not action.option_strings:
        return f"`{choices or action.dest}`"
    value = action.metavar if isinstance(action.metavar, str) else choices
    ending = f"={value}" if action.nargs != 0 and value else ""
    return ", ".join(f"`{option}{ending if option.startswith('--') else ''}`" for option in action.option_strings)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f"## perflens {name}", "", parser.description or "", "")
    rows = [f"| {_written(action)} | {_help(parser, action)} |" for _, action in _own(parser)]
    if rows:
        yield from ("| flag | meaning |", "|---|---|", *rows, "")
    if _is_configurable(parser):
        yield from ("It takes `--config.file=FILE` and a flag for each key of the [configuration](configuration.md).", "")


def cli() -> str:
    """Return docs/cli.md."""
    return "\n".join(
        (
            NOTICE,
            "# Commands",
            "",
            "`perflens COMMAND --help` says the same. A flag is written in full, as `--flag=VALUE` or `--flag VALUE`.",
            "Exit codes: 0 done, 1 the host or the agent refuses something, 2 what was written cannot be used, 130 interrupted.",
            "`perflens --version` prints the version. [Exports](exports.md) shows the commands that ask a running agent at work.",
            "",
            *(line for name, parser in _parsers().items() for line in _section(name, parser)),
        )
    )
