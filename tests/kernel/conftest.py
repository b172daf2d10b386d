"""Tests of real kernel events; each names what it lacks when it is skipped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflens.kernel.features import inspect
from tests.kernel.support import RunningAgent, agent

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a failed test once more, and tell it: under some hypervisors programs are not called in some processes and what interrupts them.

    So one event of thousands may be missing in a count that is exact elsewhere; the guests of `make test-vm` have no such processes.
    """
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def may_trace() -> None:
    """Skip what needs the kernel where it cannot be had."""
    host = inspect()
    if os.geteuid() != 0 or not host.may_load:
        pytest.skip("needs root with CAP_BPF and CAP_PERFMON")
    if host.btf is None:
        pytest.skip("needs a kernel with BTF")


@pytest.fixture(scope="module", params=["tp_btf", "raw_tp"])
def rung(request: pytest.FixtureRequest) -> str:
    """Each way to attach in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def running(rung: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent attached by one rung."""
    with agent(tmp_path_factory.mktemp("agent"), f"--probes.file.attach={rung}", "--probes.strict") as found:
        yield found


@pytest.fixture
def url(running: RunningAgent) -> str:
    """Where its metrics are."""
    return running.url


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """A small file on a real file system, in the page cache."""
    file = tmp_path / "data"
    file.write_bytes(bytes(range(256)) * 256)
    return file


@pytest.fixture(scope="module")
def collector_binary() -> str | None:
    """A real collector, if one can be built here."""
    done = subprocess.run([Path(__file__).parents[1] / "components" / "collector"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
