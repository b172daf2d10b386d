"""Which loader an agent takes, and what it says where it has none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.kernel.headers import kernel_headers, needs_bcc
from tests.kernel.loaders import COMPILES, FILES, WITHOUT_BTF, files_of
from tests.kernel.support import RunningAgent, agent, closed_ledger, group, scrape, wait

PROBES = ("block", "file", "process")
# The command that leaves no Python with a module bcc, in a mount namespace of its own.
WITHOUT_BCC = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'if [ -d "$0" ]; then mount -t tmpfs none "$0"; fi; exec "$@"',
    "/usr/lib/python3/dist-packages/bcc",
)
NO_HEADERS = {"BCC_KERNEL_SOURCE": "/nowhere"}


def logged(found: RunningAgent, *words: str) -> list[str]:
    """The lines of its log that have all of these words."""
    return [line for line in found.log.read_text().splitlines() if all(word in line for word in words)]


def attached(found: RunningAgent) -> dict[str, int]:
    """What its page says of each probe."""
    page = scrape(found.url)
    return {probe: int(page.total("perflens_probe_attached", probe=probe)) for probe in PROBES}


def test_auto_is_libbpf_with_btf(tmp_path: Path) -> None:
    with agent(tmp_path) as found:
        assert attached(found) == dict.fromkeys(PROBES, 1)
        assert len(logged(found, "msg=loader", "loader=libbpf", "/sys/kernel/btf/vmlinux")) == 1


@pytest.mark.parametrize("flag", ["--loader=auto", "--loader=bcc"])
def test_headers_are_missing(tmp_path: Path, flag: str) -> None:
    """The agent says what would help, for each probe, and runs on."""
    with agent(tmp_path, flag, prefix=WITHOUT_BTF, environment=NO_HEADERS) as found:
        assert attached(found) == dict.fromkeys(PROBES, 0)
        assert len(logged(found, "msg=loader", "loader=bcc")) == 1
        for probe in PROBES:
            (line,) = logged(found, "probe not attached", f"probe={probe}")
            assert "bcc has no kernel headers to compile with: no /nowhere" in line
            assert f"apt-get install linux-headers-{os.uname().release}" in line
        assert "Traceback" not in found.log.read_text()


def test_bcc_is_missing(tmp_path: Path) -> None:
    """The same without bcc."""
    headers = kernel_headers(tmp_path / "headers")
    with agent(tmp_path, "--loader=bcc", prefix=WITHOUT_BCC, environment=headers, seconds=COMPILES) as found:
        assert attached(found) == dict.fromkeys(PROBES, 0)
        for probe in PROBES:
            (line,) = logged(found, "probe not attached", f"probe={probe}")
            assert "bcc is not installed" in line
            assert "/usr/bin/python3: " in line
            assert "apt-get install python3-bpfcc" in line
        assert "Traceback" not in found.log.read_text()


def test_a_program_that_does_not_compile(tmp_path: Path) -> None:
    """The compiler's first error is the reason, in one line."""
    needs_bcc()
    include = tmp_path / "headers/include"
    headers = kernel_headers(tmp_path / "headers") or pytest.skip("this kernel's own headers are not to be broken")
    (include / "linux/kernfs.h").write_text("#error broken on purpose\n")
    with agent(tmp_path, "--loader=bcc", environment=headers, seconds=COMPILES) as found:
        assert attached(found) == dict.fromkeys(PROBES, 0)
        assert len(logged(found, "probe not attached", "error: broken on purpose")) == len(PROBES)


def test_btf_file(tmp_path: Path) -> None:
    """Without BTF of its own, and with a file of it, the kernel is traced by libbpf, by what is not typed."""
    file, data = tmp_path / "kernel.btf", tmp_path / "data"
    shutil.copyfile("/sys/kernel/btf/vmlinux", file)
    data.write_bytes(bytes(4_096))
    with agent(tmp_path, "--probes.strict", f"--btf.path={file}", prefix=WITHOUT_BTF) as found, group("btf") as own:
        wait(own.run(lambda: files_of(data)))
        page = closed_ledger(found.url)
        assert {name: page.count(own.unit, name) for name in FILES} == FILES
        assert len(logged(found, "msg=loader", "loader=libbpf", str(file))) == 1
        assert len(logged(found, "probe attached", "mechanism=raw_tp")) == len(PROBES)
        assert len(logged(found, "probe attached", "waits=yes")) == 1


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read: No such file or directory"), (b"\x7fELF", "is no BTF")])
def test_btf_file_that_is_none(tmp_path: Path, content: bytes | None, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It ends with the exit code of a wrong configuration."""
    file = tmp_path / "kernel.btf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AssertionError, match=message), agent(tmp_path, f"--btf.path={file}"):
        pass
