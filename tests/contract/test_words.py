"""The project speaks of itself alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("/wor" + "k/", "far" + "m-", "issue" + " #")  # in two parts, so that this file is clean too


def found_in(text: str) -> list[str]:
    return [word for word in FORBIDDEN if word in text.lower()]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name.decode() for name in listed.split(b"\0") if name]


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs git, and a checkout of it")
def test_no_forbidden_words() -> None:
    """No tracked text file, nor the name of one, speaks of where or how it was made."""
    paths = [path for path in tracked() if path.is_file()]
    texts = {path.relative_to(ROOT): path.read_bytes() for path in paths}
    found = {str(name): found_in(f"{name}\n{text.decode(errors='replace')}") for name, text in texts.items() if b"\0" not in text}

    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("text", [f"see {FORBIDDEN[0]}x", f"{FORBIDDEN[1].upper()}7", f"fixes {FORBIDDEN[2]}12"])
def test_words_are_seen(text: str) -> None:
    """The check sees each of the words, in capitals too."""
    assert found_in(text)
