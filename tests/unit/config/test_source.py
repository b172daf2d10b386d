"""config/source.py: which files are read at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perflens.config import Settings, load
from perflens.config.source import FLAGS
from perflens.errors import ConfigError

BYTES = {
    b"threshold: 5ms\nx: \xff": "2: is not UTF-8; save the file as UTF-8",
    "threshold: 5ms".encode("utf-16"): "1: is not UTF-8; save the file as UTF-8",
    b"a: \xed\xa0\x80": "1: is not UTF-8; save the file as UTF-8",
    b"a: 1\nb: \x00": "2: has the control character '\\x00'; remove it",
    b"a: \x1b[31m": "1: has the control character '\\x1b'; remove it",
    b"a: \x7f": "1: has the control character '\\x7f'; remove it",
    "a: \u2028b".encode(): "1: has the control character '\\u2028'; remove it",
    "a: \x85".encode(): "1: has the control character '\\x85'; remove it",
}


def refusal(path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load({}, {}, path, {})
    return str(caught.value)


@pytest.mark.parametrize("data", BYTES)
def test_bytes(from_text: Callable[[bytes], Settings | list[str]], data: bytes) -> None:
    """Bytes that are no text are refused with their line."""
    assert from_text(data) == [f"perflens.yaml:{BYTES[data]}"]


def test_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing, special or too large is refused at once; a pipe is not waited for."""
    monkeypatch.chdir(tmp_path)
    Path("directory").mkdir()
    os.mkfifo("pipe")
    Path("large").write_bytes(b"#" * ((1 << 20) + 1))
    Path("loop").symlink_to("loop")
    assert refusal("missing") == "missing: there is no such file; create it, or name another with --config.file"
    assert refusal("") == "'': there is no such file; create it, or name another with --config.file"
    assert refusal("directory") == "directory: is a directory; name a file in it"
    assert refusal("pipe") == "pipe: is not a regular file; name a regular file"
    assert refusal("/dev/zero") == "/dev/zero: is not a regular file; name a regular file"
    assert refusal("large") == "large: is larger than 1 MiB; name a configuration file"
    assert refusal("loop") == "loop: cannot be read: Too many levels of symbolic links; name a file that the agent may read"
    assert refusal("large/x") == "large/x: cannot be read: Not a directory; name a file that the agent may read"
    assert refusal("a\0b") == "'a\\x00b': is not the name of a file; name a file that the agent may read"
    assert refusal("\x1b[31m") == "'\\x1b[31m': there is no such file; create it, or name another with --config.file"


def test_largest(tmp_path: Path) -> None:
    """A file of exactly 1 MiB is read."""
    path = tmp_path / "perflens.yaml"
    path.write_bytes(b"#" * (1 << 20))
    assert load({}, {}, str(path), {}) == Settings()


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without permission to read is refused with the reason of the kernel."""
    path = tmp_path / "perflens.yaml"
    path.touch()

    def denied(name: str, flags: int) -> int:
        assert flags == FLAGS
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(os, "open", denied)
    assert refusal(str(path)) == f"{path}: cannot be read: Permission denied; name a file that the agent may read"
