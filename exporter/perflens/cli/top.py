"""Show what is slow on this host, or on another one, in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from perflens import client
from perflens.cli.context import Context
from perflens.cli.output import ended, recode
from perflens.cli.own_agent import OwnAgent
from perflens.client import Target
from perflens.config import collected
from perflens.errors import ConfigError, PerfLensError, Problem, StartError
from perflens.tui.reading import Unreadable
from perflens.tui.source import HttpSource, Source, Unavailable
from perflens.tui.state import State

if TYPE_CHECKING:
    from perflens.config import Settings

__all__ = ["execute", "register"]

_VIEWS = ("dashboard", "timeline", "tree", "analyses", "heatmap", "stuck")
_PIPE_WIDTH = 120
# What a terminal is told when the UI could not: leave the other screen, wrap lines, show the cursor, and report keys as before.
_LEAVE = b"\x1b[<u\x1b[?1004l\x1b[?2004l\x1b[?1049l\x1b[?7h\x1b[?25h\x1b[0m"


def register(parser: argparse.ArgumentParser) -> None:
    """Add whose data is shown, and how."""
    client.add_flags(parser, "show the agent that runs there, such as http://localhost:9435 (default: that of this host)")
    parser.add_argument("--standalone", action="store_true", help="run an agent of its own, until the screen is left")
    parser.add_argument("--replay", metavar="FILE", help="show what `perflens capsule` has recorded")
    parser.add_argument("--once", action="store_true", help="print one view as text, and end")
    parser.add_argument("--view", metavar="|".join(_VIEWS), default=_VIEWS[0], help="the view to begin with (default: %(default)s)")


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Show the views until the user leaves; return 0, or 128 and the number of the signal that ended it."""
    _check(arguments)
    settings = context.settings(arguments)
    state = State(view=arguments.view)
    once = arguments.once or _without_terminal()
    if not once:
        _need_textual()
    with _source(arguments, context, settings) as source:
        return _once(source, state) if once else _shown(source, state)


def _check(arguments: argparse.Namespace) -> None:
    given = [
        flag for flag, value in (("--url", arguments.url), ("--standalone", arguments.standalone), ("--replay", arguments.replay)) if value
    ]
    if len(given) > 1:
        raise _refused(given[1], f"is given with {given[0]}", "leave one out")
    if arguments.view not in _VIEWS:
        raise _refused("--view", "is no view", f"write one of {', '.join(_VIEWS)}")


def _refused(flag: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(flag, "", message, cure),))


def _without_terminal() -> bool:
    """Whether there is nothing to draw on; says so."""
    reasons = (
        ("the output is no terminal", not (sys.stdout and sys.stdout.isatty())),
        ("the input is no terminal", not (sys.stdin and sys.stdin.isatty())),
        ("TERM is not set, or dumb", os.environ.get("TERM", "dumb") == "dumb"),
    )
    reason = next((text for text, holds in reasons if holds), "")
    if reason:
        print(f"perflens: {reason}: printing one view, as with --once", file=sys.stderr)
    return bool(reason)


def _need_textual() -> None:
    if importlib.util.find_spec("textual") is None:
        raise StartError("the package textual is not installed; pip install 'perflens[tui]', or use --once")


@contextmanager
def _source(arguments: argparse.Namespace, context: Context, settings: Settings) -> Iterator[Source]:
    target = client.target_of(arguments)
    if arguments.replay:
        from perflens.tui.recording import opened

        yield opened(arguments.replay)
    elif target:
        yield HttpSource(target)
    elif not arguments.standalone and _is_there(local := Target.of(_local_url(settings))):
        yield HttpSource(local)
    elif arguments.standalone or os.geteuid() == 0:
        print("perflens: starting an agent", file=sys.stderr)
        with OwnAgent(collected(arguments), context.catalogue) as own:
            yield own.source()
    else:
        raise StartError(f"no agent answers at {local.base}; run `sudo perflens top`, or name an agent with --url")


def _local_url(settings: Settings) -> str:
    """The URL of the agent that runs with the same configuration on this host."""
    host, _, port = settings.web.listen_address[0].rpartition(":")
    return f"http://{'localhost' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def _is_there(target: Target) -> bool:
    """Whether an agent answers, ready or not; False when nobody listens, StartError when somebody does who refuses."""

    async def ask() -> None:
        source = HttpSource(target)
        try:
            await source.get("summary", {})
        finally:
            await source.close()

    try:
        asyncio.run(ask())
    except Unavailable as error:
        if error.nobody:
            return False
        if not str(error).startswith("HTTP 503"):
            raise StartError(
                f"{target.base} does not answer as an agent: {error}; name it with --url and --client.…, or add --standalone"
            ) from None
    return True


def _once(source: Source, state: State) -> int:
    from perflens.tui.snapshot import snapshot

    width = shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns
    recode(errors="replace")  # a locale may know no bars
    try:
        text = asyncio.run(snapshot(source, state, width))
    except (Unavailable, Unreadable) as error:
        raise StartError(f"{source.name}: {error}") from error
    return ended(lambda: print(text))


def _shown(source: Source, state: State) -> int:
    coloured = not os.environ.get("NO_COLOR")
    from perflens.tui.app import Top

    app = Top(source, state, coloured)
    with _terminal_kept():
        code = app.run(mouse=False)
    if app.failure:
        raise PerfLensError(
            f"the screen failed, which is a bug: {type(app.failure).__name__}: {app.failure}; please report it"
        ) from app.failure
    return code or 0


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Have the terminal as it was, whatever ends what is inside. Textual draws on stderr, so that is the terminal meanwhile."""
    import termios

    before, stderr = termios.tcgetattr(sys.stdin.fileno()), os.dup(2)
    os.dup2(sys.stdout.fileno(), 2)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.write(1, _LEAVE)
        raise
    finally:
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)
        os.dup2(stderr, 2)
        os.close(stderr)
