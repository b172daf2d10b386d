"""The bcc loader counts what libbpf does, in the same series, on kernels that tell it nothing of their types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.kernel.disks import zeroed_loop
from tests.kernel.headers import kernel_headers, needs_bcc
from tests.kernel.loaders import COMPILES, EXPECTED, Seen, done, seen, slow_series, until_read
from tests.kernel.support import RunningAgent, agent
from tests.kernel.test_pods import cluster, one_of_two_containers, read

UNTOLD = {("block", "slow"), ("block", "event"), ("file", "stack"), ("file", "cost")}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A loop device."""
    with zeroed_loop(tmp_path_factory.mktemp("disk")) as name:
        yield name


@pytest.fixture(scope="module")
def bcc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent whose programs bcc compiled."""
    needs_bcc()
    environment = kernel_headers(tmp_path_factory.mktemp("headers"))
    flags = ("--loader=bcc", "--probes.strict", "--threshold=1us")
    with agent(tmp_path_factory.mktemp("bcc"), *flags, environment=environment, seconds=COMPILES) as found:
        yield found


@pytest.fixture(scope="module")
def counted(bcc: RunningAgent, disk: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    """What both loaders made of one workload."""
    folder = tmp_path_factory.mktemp("work")
    file = folder / "data"
    file.write_bytes(bytes(4_096))
    with agent(folder, "--loader=libbpf", "--probes.strict") as libbpf, done(file, disk) as own:
        return seen(bcc.url, disk, own), seen(libbpf.url, disk, own)


def test_both_loaders_count_the_same(counted: tuple[Seen, Seen]) -> None:
    bcc, libbpf = counted
    assert asdict(bcc) == asdict(libbpf)


def test_the_counts_are_those_of_the_work(counted: tuple[Seen, Seen]) -> None:
    bcc = asdict(counted[0])
    assert {name: bcc[name] for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize("probe", ["file", "block"])
@pytest.mark.usefixtures("counted")
def test_slow_operations_are_accounted_for(bcc: RunningAgent, probe: str) -> None:
    slow, _ = slow_series(until_read(bcc.url, probe), probe)
    assert slow > 0


def test_the_page_says_which_loader(bcc: RunningAgent) -> None:
    log = bcc.log.read_text()
    assert 'msg=loader loader=bcc reason="as it is configured"' in log
    assert log.count("mechanism=bcc") == 3


def test_a_filter_by_names(tmp_path: Path, data_file: Path) -> None:
    """The names of pods filter as with libbpf."""
    needs_bcc()
    flags = ("--loader=bcc", "--probes.strict", "--filter.container=app", "--owner.level=container")
    with cluster(tmp_path, *flags, environment=kernel_headers(tmp_path), seconds=COMPILES) as own:
        one_of_two_containers(own, read(data_file))


def test_the_selftest_passes(tmp_path: Path) -> None:
    """What bcc does not tell is skipped by name, and nothing fails."""
    needs_bcc()
    environment = {**os.environ, **kernel_headers(tmp_path)}
    command = [sys.executable, "-m", "perflens", "selftest", "--json", "--loader=bcc", "--timeout=60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILES, env=environment)
    checks = [(own["family"], own["name"], own["verdict"]) for own in json.loads(done.stdout)["checks"]]

    assert [own for own in checks if own[2] == "failed"] == []
    assert {own for own in checks if own[2] == "skipped"} <= {(*own, "skipped") for own in UNTOLD}
    assert ("file", "event", "ok") in checks
    assert done.returncode == 0
