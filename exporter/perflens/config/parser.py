"""An argument parser whose errors are one line with a cure, like every other problem of the configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from perflens.config.wording import one_line, printable, quoted, suggestion
from perflens.errors import ConfigError, Problem

__all__ = ["Parser"]

SEE_HELP = "see --help"


class Parser(argparse.ArgumentParser):
    """Flags in full only, and ConfigError instead of a usage dump and an exit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, "exit_on_error": False, **options})

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        given = list(sys.argv[1:] if args is None else args)
        parsed, unknown = self.parse_known_args(given, namespace)
        if unknown:
            raise ConfigError(tuple(strangers(unknown, list(flags(self)))))
        return parsed

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            raise ConfigError((translated(error),)) from error

    def error(self, message: str) -> NoReturn:
        raise ConfigError((Problem("command line", "", one_line(message), SEE_HELP),))


def translated(error: argparse.ArgumentError) -> Problem:
    """An error of argparse about one flag, in our words."""
    flag = error.argument_name or "command line"
    if error.message.startswith("expected "):
        return Problem(flag, "", "has no value", f"write {flag}=VALUE")
    if error.message.startswith("ignored explicit argument"):
        return Problem(flag, "", "takes no value", f"write {flag} alone")
    return Problem(flag, "", one_line(error.message), SEE_HELP)


def strangers(unknown: Sequence[str], known: Sequence[str]) -> Iterator[Problem]:
    """A problem for each argument that nobody knows; what follows an unknown flag is its value, not another."""
    value_may_follow = False
    for argument in unknown:
        if argument.startswith("-"):
            name, equals, _ = argument.partition("=")
            yield Problem(printable(name), "", "unknown flag", suggestion(name, known, SEE_HELP))
            value_may_follow = not equals
        elif not value_may_follow:
            yield Problem("command line", "", f"unexpected argument {quoted(argument)}", f"leave it out; {SEE_HELP}")


def flags(parser: argparse.ArgumentParser) -> Iterable[str]:
    """Every long flag of a parser and of its commands."""
    for action in parser._actions:
        yield from (flag for flag in action.option_strings if flag.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags(command)
