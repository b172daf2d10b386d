"""Conditions of other kernels, or that cannot be taken back: each is named, and what needs none of it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perflens.kernel.features import inspect, knows
from perflens.registry import discover
from tests.kernel.preconditions import LEAST, Checked, checked, running_without, without

DISPOSABLE = any(word in Path("/proc/cmdline").read_text() for word in ("virtme", "perflens_guest"))  # else it is somebody's
ALL, NONE = dict.fromkeys(discover(), 1), dict.fromkeys(discover(), 0)
SYSCTL = Path("/proc/sys/kernel")
LOW = "prlimit", "--memlock=65536:65536"
pytestmark = pytest.mark.skipif(not DISPOSABLE, reason="changes settings of the kernel, for good: only in a guest")
HOOKED_BY_PERF_EVENTS = [name for name, probe in discover().items() if "kprobe" in probe.mechanisms]


@contextmanager
def sysctl(name: str, value: str) -> Iterator[None]:
    """A setting of the kernel, as it was at the end."""
    file = SYSCTL / name
    before = file.read_text()
    file.write_text(value)
    try:
        yield
    finally:
        file.write_text(before)


@pytest.fixture(scope="module")
def whole() -> Checked:
    """This guest as it is."""
    return checked()


def test_every_precondition_holds(whole: Checked) -> None:
    """A stock kernel lacks nothing that root would need."""
    assert (whole.code, whole.gaps) == (0, set())


def test_low_limit_of_locked_memory(tmp_path: Path) -> None:
    """Without CAP_SYS_RESOURCE it stops every probe before 5.11, and later none; with the capability it never does."""
    host = inspect()
    counts = host.btf is not None and knows(host.btf, b"bpf_map_memory")
    prefix = (*LOW, *without("sys_resource"))
    low, lifted = checked(*prefix), checked(*LOW)
    has, log = running_without(tmp_path, *prefix)

    assert (lifted.code, lifted.gaps) == (0, set())
    assert low.code == int(counts)
    assert has == (NONE if counts else ALL)
    assert ("locked memory" in low.gaps) == counts
    if counts:
        assert low.findings["locked memory"]["detail"].startswith("65,536 bytes")
        assert log.count("Operation not permitted") == len(discover())


def test_the_least_capabilities() -> None:
    """CAP_BPF and CAP_PERFMON attach every probe on every kernel, where tables are not limited."""
    found = checked("prlimit", "--memlock=unlimited", *LEAST)

    assert found.code == 0
    assert found.gaps == {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE", "kernel symbols"}


def test_symbols_that_are_hidden_from_everybody() -> None:
    """kptr_restrict=2 hides them from root too; the cure is that alone."""
    with sysctl("kptr_restrict", "2"):
        found = checked()

    assert (found.code, found.gaps) == (0, {"kernel symbols"})
    assert found.findings["kernel symbols"]["cure"].startswith("sysctl kernel.kptr_restrict=1 (")


@pytest.mark.parametrize(("level", "refused"), [("2", False), ("3", True)])
def test_perf_events_of_debian(level: str, refused: bool) -> None:
    """Level 3 forbids them to all without CAP_SYS_ADMIN, and costs what is attached by them: nothing else."""
    with sysctl("perf_event_paranoid", level):
        found = checked("prlimit", "--memlock=unlimited", *LEAST)

    assert found.code == 0
    assert found.findings["perf events"]["detail"].startswith("refused (EACCES)" if refused else "allowed")
    assert "perf events" not in found.gaps
    for name in HOOKED_BY_PERF_EVENTS:
        assert found.findings[f"{name}: kprobe"]["state"] == ("note" if refused else "ok")


def test_functions_cannot_be_traced() -> None:
    """With ftrace off nothing is attached to a function, and every probe still attaches."""
    try:
        with sysctl("ftrace_enabled", "0"):
            found = checked()
    except OSError as error:
        pytest.skip(f"kernel.ftrace_enabled cannot be turned off while programs are at functions: {error.strerror}")

    assert found.code == 0
    assert "function tracing" in found.gaps
    assert found.findings["function tracing"]["detail"].startswith("off, kernel.ftrace_enabled is 0; for ")
    assert found.findings["function tracing"]["lost"]
