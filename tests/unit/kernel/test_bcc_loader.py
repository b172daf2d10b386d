"""kernel/bcc_loader.py: what it refuses before anything is compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel import bcc_compile, bcc_loader
from perflens.kernel.attach import Tuning
from perflens.kernel.attached import Sizes
from perflens.kernel.bcc_process import cause
from perflens.kernel.features import Host, inspect
from perflens.registry import discover

HOST = replace(inspect(), capabilities=frozenset({"CAP_SYS_ADMIN"}))


def attach(name: str = "file", host: Host = HOST, rung: str = "auto") -> None:
    """Attach a probe, which fails."""
    bcc_loader.attach(name, discover()["file"], host, rung=rung, sizes=Sizes.of(host, 256), thresholds=[1], tuning=Tuning())


def test_rung_of_another_loader() -> None:
    """It has one of its own."""
    with pytest.raises(ProbeError, match="raw_tp is no rung of the bcc loader") as raised:
        attach(rung="raw_tp")
    assert raised.value.cure == "leave probes.file.attach out"


def test_capabilities_are_missing() -> None:
    """They are named."""
    with pytest.raises(ProbeError, match="CAP_BPF and CAP_PERFMON missing"):
        attach(host=replace(HOST, capabilities=frozenset()))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "In file included from x:\nx.h:3:2: warning: odd\nx.c:7:1: error: expected ';'\n1 error generated.\n",
            "x.c:7:1: error: expected ';'",
        ),
        ("0: (bf) r6 = r1\nR2 unbounded memory access\nprocessed 9 insns\n\n", "processed 9 insns"),
        ("", ""),
    ],
)
def test_cause(said: str, expected: str) -> None:
    """The compiler's error, else the last line."""
    assert cause(said) == expected


def test_the_helper_needs_nothing_of_ours() -> None:
    """It runs under the system's Python, where perflens is not installed."""
    text = Path(str(bcc_compile.__file__)).read_text()
    assert "perflens" not in "".join(line for line in text.splitlines() if line.startswith(("import", "from")))
