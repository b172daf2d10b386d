"""The commands of the README and the documents, run as they stand against one agent; queries, as promtool reads them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blocks import PAGES, Block, blocks
from tests.kernel.support import agent

EVERY = [block for page in PAGES for block in blocks(page) if not block.is_apart]
COMMANDS = [block for block in EVERY if block.language == "sh"]
QUERIES = [block for block in EVERY if block.language == "promql"]
_SECONDS = 60

# What a reader has: the commands on the path, and the agent at its usual address. The folder has a .venv as a clone has.
SHIM = """#!/bin/sh
command=$1; shift
case $command in
  events|timeline|flame|capsule|top) exec {python} -m perflens "$command" "$@" {url} ;;
  *) exec {python} -m perflens "$command" "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with `perflens` and `.venv/bin/perflens`, and where an agent answers."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    folder = tmp_path_factory.mktemp("reader")
    with agent(folder) as running:
        address = running.url.removesuffix("/metrics").removeprefix("http://")
        for path in (folder / "bin" / "perflens", folder / ".venv" / "bin" / "perflens"):
            path.parent.mkdir(parents=True)
            path.write_text(SHIM.format(python=sys.executable, url=f"--url=http://{address}"))
            path.chmod(0o755)
        yield folder, address


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands(block: Block, place: tuple[Path, str], tmp_path: Path) -> None:
    """Every command ends well, one after the other, as it stands on the page but for the port and the folder of its files."""
    folder, address = place
    text = block.text.replace("localhost:9435", address).replace("127.0.0.1:9435", address)
    text = re.sub(r"(?<![\w/])/tmp/", f"{tmp_path}/", text)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**_environment(), "PATH": f"{folder}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def _queries(text: str) -> list[str]:
    """The queries of a block, one a line but for those that go on in lines that are indented."""
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return lines.replace("\n  ", "  ").splitlines()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}


@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_queries(block: Block, promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Every query is one that Prometheus parses."""
    for query in _queries(block.text):
        done = promtool("--experimental", "promql", "format", query)
        assert done.returncode == 0, done.stderr
