"""Every block of the README and the documents is what it says: a language, commands that run, configurations that hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from perflens.cli import main
from tests.blocks import PAGES, ROOT, Block, blocks

LANGUAGES = {"sh", "yaml", "promql", "text", "c", "python", "json"}
EVERY = [block for page in PAGES for block in blocks(page)]


def test_pages_have_blocks() -> None:
    """The blocks are found: the README has those that a newcomer types."""
    commands = [block.text for block in blocks(ROOT / "README.md") if block.language == "sh"]

    assert len(EVERY) > 40
    assert "make run\n" in commands
    assert "make test\n" in commands


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_languages(block: Block) -> None:
    """Each block says what it is, so that none escapes the tests, and what is not run says why."""
    assert block.language in LANGUAGES
    assert not block.is_apart or len(block.reason) > 8


@pytest.mark.parametrize("block", [block for block in EVERY if block.language == "yaml" and not block.is_apart], ids=str)
def test_configurations_are_good(block: Block, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration is one that `perflens config check` takes."""
    file = tmp_path / "perflens.yaml"
    file.write_text(block.text)

    assert isinstance(yaml.safe_load(block.text), dict)
    assert main(["config", "check", f"--config.file={file}"]) == 0, capsys.readouterr().err


def test_blocks_are_read(tmp_path: Path) -> None:
    """A comment before a block sets that block apart, and no other."""
    page = tmp_path / "page.md"
    one, two = "<!-- not run: needs a cluster -->\n```sh\none\n```", "```sh\ntwo\n\n```"
    page.write_text(f"a\n\n{one}\n\n{two}\n\n  ```text\n  three\n  ```\n```\nfour\n```\n")
    found = blocks(page)

    assert [(own.line, own.language, own.text, own.reason) for own in found] == [
        (4, "sh", "one\n", "needs a cluster"),
        (8, "sh", "two\n\n", ""),
        (13, "text", "three\n", ""),
        (16, "", "four\n", ""),
    ]
    page.write_text("<!-- not run, the whole page: needs a cluster -->\n" + page.read_text())
    assert {own.reason for own in blocks(page)} == {"needs a cluster"}
