"""kernel/loaders.py: which loader is taken, and the file of BTF."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.errors import ConfigError
from perflens.kernel.features import inspect
from perflens.kernel.loaders import btf_file, choose

HOST = replace(inspect(), btf=Path("/sys/kernel/btf/vmlinux"))


@pytest.mark.parametrize(
    ("wanted", "btf", "expected"),
    [
        ("auto", "/sys/kernel/btf/vmlinux", "libbpf"),
        ("auto", "/var/lib/kernel.btf", "libbpf"),
        ("auto", None, "bcc"),
        ("bcc", "/sys/kernel/btf/vmlinux", "bcc"),
        ("libbpf", None, "libbpf"),
    ],
)
def test_choice(wanted: str, btf: str | None, expected: str) -> None:
    """The one that is configured, else by whether the kernel's types are known."""
    assert choose(wanted, replace(HOST, btf=Path(btf) if btf else None)).name == expected


def test_why() -> None:
    """It tells the file, or what is missing and what would give it."""
    assert choose("auto", HOST).why == "the kernel's types are in /sys/kernel/btf/vmlinux"
    assert choose("auto", replace(HOST, btf=None)).why == "the kernel has no BTF at /sys/kernel/btf/vmlinux, and none is given by btf.path"
    assert choose("bcc", HOST).why == "as it is configured"


def test_no_btf_file() -> None:
    """Nothing is configured."""
    assert btf_file("") is None


@pytest.mark.parametrize("magic", [b"\x9f\xeb", b"\xeb\x9f"])
def test_btf_file(tmp_path: Path, magic: bytes) -> None:
    """Either order of bytes is BTF; libbpf turns it round."""
    file = tmp_path / "btf"
    file.write_bytes(magic + bytes(22))
    assert btf_file(str(file)) == file


@pytest.mark.parametrize("content", [b"", b"\x9f", b"\x7fELF"])
def test_file_that_is_no_btf(tmp_path: Path, content: bytes) -> None:
    """An ELF file with a section of BTF is none either, which the message says how to make one of."""
    file = tmp_path / "btf"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"btf: btf\.path: is no BTF; write the path of a file with the raw BTF"):
        btf_file(str(file))


def test_fifo(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "btf")
    with pytest.raises(ConfigError, match=r"btf\.path: is no BTF"):
        btf_file(str(tmp_path / "btf"))


def test_file_that_is_missing(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(ConfigError, match=r"btf\.path: cannot be read: No such file or directory"):
        btf_file(str(tmp_path / "btf"))
