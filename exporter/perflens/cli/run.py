"""Run the agent until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from perflens import __version__, logs
from perflens.agent import Agent, DroppingPrivileges, serve, tree_of
from perflens.cli.context import Context
from perflens.kernel.heap import give_back_large_blocks, share_what_dataclasses_repeat
from perflens.logs import fields

__all__ = ["execute", "register"]


def register(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the configuration's flags are all there is."""


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Start the agent; return 0 when it was told to stop."""
    give_back_large_blocks()
    share_what_dataclasses_repeat()
    settings = context.settings(arguments)
    logs.configure(settings.log.level, settings.log.format, sys.stderr)
    host = context.host(settings)
    logging.getLogger("perflens").info("starting", extra=fields(version=__version__, kernel=host.kernel, machine=host.machine))
    privileges = DroppingPrivileges(settings.capabilities.keep, settings.path.procfs)
    agent = Agent(settings, host, context.probes, tree_of(host, settings), privileges)
    asyncio.run(serve(agent, lambda: context.settings(arguments)))
    return 0
