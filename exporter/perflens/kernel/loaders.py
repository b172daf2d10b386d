"""Which loader brings the programs into the kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from perflens.errors import ConfigError, Problem
from perflens.kernel.features import Host

__all__ = ["Choice", "btf_file", "choose"]

_MAGIC = (b"\x9f\xeb", b"\xeb\x9f")
_CURE = "write the path of a file with the raw BTF of this kernel, as pahole --btf_encode_detached makes it"


@dataclass(frozen=True, slots=True)
class Choice:
    """``libbpf`` or ``bcc``, and why, for people."""

    name: str
    why: str


def choose(wanted: str, host: Host) -> Choice:
    """Return the loader that is asked for; for ``auto`` libbpf where the kernel's types are known, else bcc."""
    if wanted != "auto":
        return Choice(wanted, "as it is configured")
    if host.btf is None:
        return Choice("bcc", "the kernel has no BTF at /sys/kernel/btf/vmlinux, and none is given by btf.path")
    return Choice("libbpf", f"the kernel's types are in {host.btf}")


def btf_file(path: str) -> Path | None:
    """Return the file that ``btf.path`` names, None for none; ConfigError when it cannot be read or is no BTF."""
    if not path:
        return None
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:  # a FIFO must not hang the start
            begin = file.read(2)
    except OSError as error:
        raise ConfigError((Problem(path, "btf.path", f"cannot be read: {error.strerror}", _CURE),)) from error
    if begin not in _MAGIC:
        raise ConfigError((Problem(path, "btf.path", "is no BTF", _CURE),))
    return Path(path)
