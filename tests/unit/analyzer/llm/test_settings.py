"""analyzer/llm/settings.py: the token, and whether there is somebody to ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflens.analyzer.llm.settings import LlmSettings, Token, token_from
from perflens.errors import ConfigError

TOKEN = "hf_abc"  # noqa: S105
HINT = "sudo drops HF_TOKEN; use sudo --preserve-env=HF_TOKEN or llm.token_file"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f" {TOKEN}\n")
    path.chmod(0o440)
    return path


def test_token(file: Path) -> None:
    assert token_from({"HF_TOKEN": f" {TOKEN} \n"}) == Token(TOKEN)
    assert token_from({"HF_TOKEN": "other"}, str(file)) == Token(TOKEN)
    assert token_from({}) == Token()
    assert token_from({"SUDO_USER": "bob"}) == Token("", HINT)
    assert token_from({"SUDO_USER": "bob", "HF_TOKEN": TOKEN}) == Token(TOKEN)


def test_token_is_not_shown() -> None:
    assert TOKEN not in f"{Token(TOKEN)!r} {LlmSettings(token=TOKEN)!r}"
    assert "secret" not in repr(LlmSettings(headers={"X-Key": "secret"}))


@pytest.mark.parametrize("sent", ["two words", "é", "x" * 5_000])
def test_no_token(sent: str) -> None:
    with pytest.raises(ConfigError) as raised:
        token_from({"HF_TOKEN": sent})
    assert sent not in str(raised.value)


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_file_that_others_may_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError, match="open to every user"):
        token_from({}, str(file))


def test_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    empty = tmp_path / "empty"
    empty.touch(0o600)
    for path in (tmp_path / "missing", tmp_path, fifo, empty):
        with pytest.raises(ConfigError, match=r"llm\.token_file"):
            token_from({}, str(path))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (LlmSettings(), False),
        (LlmSettings(token=TOKEN), True),
        (LlmSettings(base_url="http://localhost:11434/v1"), True),
        (LlmSettings(base_url="", token=TOKEN), False),
        (LlmSettings(model="", token=TOKEN), False),
        (LlmSettings(base_url="https://router.huggingface.co/v1/"), False),
    ],
)
def test_usable(own: LlmSettings, expected: bool) -> None:
    assert own.is_usable is expected
