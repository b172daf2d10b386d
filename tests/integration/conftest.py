"""Real components: an agent, a Prometheus that scrapes it, and a disk that is slow when asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.integration.collectors import Place, free_ports
from tests.servers import AS_PODS, Prometheus, component, running_agent, running_prometheus
from tests.telling import flags_of, servers
from tests.throttle import CannotThrottle, Group, throttled_writer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def prometheus_binaries() -> Path:
    """The folder of prometheus and promtool; without them the tests that need them are skipped."""
    return component("prometheus")


@pytest.fixture(scope="session")
def promtool(prometheus_binaries: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run promtool with arguments and an input, and tell what it printed."""

    def run(*arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(prometheus_binaries / "promtool"), *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def collector_binary() -> str:
    """A collector; without one, or Go to build it, the tests that need it are skipped."""
    return str(component("collector"))


@pytest.fixture(scope="session")
def alertmanager_command() -> str:
    """What runs an Alertmanager; without it the tests that need one are skipped."""
    return str(component("alertmanager"))


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the metrics of an agent with the default settings, which tells a model and a Grafana that fails at first."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    folder = tmp_path_factory.mktemp("agent")
    with servers() as (model, grafana, url):
        grafana.faults["*"] = ["500"]
        flags, environment = flags_of(folder, model, url)
        with running_agent(folder, *flags, environment=environment) as own:
            yield own


@pytest.fixture(scope="module")
def prometheus(prometheus_binaries: Path, agent: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the agent."""
    with running_prometheus(prometheus_binaries, tmp_path_factory.mktemp("prometheus"), agent) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus_of_pods(prometheus_binaries: Path, agent: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Another one, which stores native histograms alone, and to which the agent's owners are pods."""
    folder = tmp_path_factory.mktemp("prometheus-of-pods")
    with running_prometheus(prometheus_binaries, folder, agent, {"metric_relabel_configs": AS_PODS}, native=True) as running:
        yield running


@pytest.fixture
def throttled(tmp_path: Path) -> Callable[[], AbstractContextManager[Group]]:
    """Begin throttled writes to the disk, as a context manager; where the machine cannot throttle, the test is skipped."""

    @contextmanager
    def begin() -> Iterator[Group]:
        try:
            with throttled_writer(tmp_path, f"perflens-test-{os.getpid()}-{time.monotonic_ns() % 1_000_000}") as group:
                yield group
        except CannotThrottle as reason:
            pytest.skip(str(reason))

    return begin


@pytest.fixture
def place(collector_binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in os.environ:
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    return Place(collector_binary, tmp_path, free_ports())
