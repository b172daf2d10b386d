"""Real faults reach a webhook through a real Prometheus and a real Alertmanager, and so does their end."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.test_prometheus import assert_data, queries
from tests.kernel.faults import slow_disk, slow_file_system
from tests.kernel.support import RunningAgent, agent
from tests.servers import running_alertmanager, running_prometheus, wait_for
from tests.telling import flags_of, servers
from tests.throttle import Group

Throttled = Callable[[], AbstractContextManager[Group]]
COLLECTOR = "overhead"
BROKEN = """
from pathlib import Path
from perflens.export.prometheus import page

class Broken(page.Page):
    def __init__(self, collectors, before):
        super().__init__([breaking(own) if own.name == {collector!r} else own for own in collectors], before)

def breaking(own):
    def render(*arguments):
        if Path({file!r}).exists():
            raise ValueError("a bug")
        return own.render(*arguments)
    return page.Collector(own.name, render)

page.Page = Broken
"""
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


@dataclass
class Webhook:
    """What Alertmanager has told: the last status of each alert, by its labels."""

    url: str = ""
    status: dict[frozenset[tuple[str, str]], str] = field(default_factory=dict)
    summaries: set[str] = field(default_factory=set)

    def take(self, told: dict[str, list[dict[str, dict[str, str]]]]) -> None:
        for alert in told["alerts"]:
            self.status[frozenset(alert["labels"].items())] = str(alert["status"])
            self.summaries.add(alert["annotations"]["summary"])

    def statuses(self, name: str, **labels: str) -> set[str]:
        """The statuses of the alerts of a name of which these labels end so."""
        found = ((dict(own), status) for own, status in list(self.status.items()))
        return {
            status
            for own, status in found
            if own["alertname"] == name and all(own.get(label, "").endswith(end) for label, end in labels.items())
        }


@contextmanager
def listening() -> Iterator[Webhook]:
    """A webhook on a port of this host."""
    own = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            own.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    own.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hanging_read(folder: Path) -> Iterator[None]:
    """A read of a file whose server does not answer."""
    with slow_file_system(folder) as (file, delays):
        delays.set(read=1_000)
        reader = subprocess.Popen(["dd", f"if={file}", "of=/dev/null", "bs=4096", "count=1"], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            delays.set()
            reader.wait(20)


@contextmanager
def slow_device(folder: Path) -> Iterator[str]:
    """The name of a device at work that takes 0.2 s for a read, with a file on the same medium whose syncs take as long."""
    folder.mkdir()
    with slow_disk(folder) as disk, ExitStack() as stack:
        disk.delays.set(read=0.2, sync=0.2)
        device = os.open(disk.device, os.O_RDONLY | os.O_DIRECT)
        stack.callback(os.close, device)
        file = os.open(disk.backing, os.O_WRONLY)
        stack.callback(os.close, file)
        block = mmap.mmap(-1, 4_096)  # O_DIRECT wants aligned memory
        over = threading.Event()
        for work in (lambda: os.preadv(device, [block], 0), lambda: os.fsync(file)):
            thread = threading.Thread(target=_repeat, args=(work, over))
            thread.start()
            stack.callback(thread.join)
        stack.callback(over.set)
        yield disk.device.name


def _repeat(work: Callable[[], object], over: threading.Event) -> None:
    while not over.wait(0.1):
        work()


@contextmanager
def refused_configuration(running: RunningAgent, file: Path) -> Iterator[None]:
    """An agent that was told to load a configuration that is none."""
    good = file.read_text()
    file.write_text("threshold: soon\n")
    running.process.send_signal(signal.SIGHUP)
    try:
        yield
    finally:
        file.write_text(good)
        running.process.send_signal(signal.SIGHUP)


def with_a_bug(folder: Path, file: Path) -> dict[str, str]:
    """The environment of an agent a collector of which fails while there is a file: no fault from outside makes one fail."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BROKEN.format(collector=COLLECTOR, file=str(file)))
    return {"PYTHONPATH": str(folder)}


@contextmanager
def existing(file: Path) -> Iterator[None]:
    """A file that is there meanwhile."""
    file.touch()
    try:
        yield
    finally:
        file.unlink()


@pytest.mark.components
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_faults_are_told_and_so_is_their_end(
    prometheus_binaries: Path, alertmanager_command: str, throttled: Throttled, tmp_path: Path
) -> None:
    """A throttled writer, a read that hangs, a slow device, an incident, a refused configuration, probes without rights and a bug are told.

    Grafana refuses the incident meanwhile, which the dashboard shows; an agent that ends is about to be told.
    """
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    config = tmp_path / "perflens.yaml"
    config.write_text("threshold: 5ms\n")
    bug = tmp_path / "bug"
    blind_folder = tmp_path / "blind"
    blind_folder.mkdir()
    with ExitStack() as stack:
        model, grafana, url = stack.enter_context(servers())
        grafana.always["POST"] = "400"
        flags, environment = flags_of(tmp_path, model, url)
        environment |= with_a_bug(tmp_path / "own", bug)
        seeing = stack.enter_context(agent(tmp_path, f"--config.file={config}", *flags, environment=environment))
        blind = stack.enter_context(agent(blind_folder, prefix=WITHOUT_RIGHTS))
        webhook = stack.enter_context(listening())
        alertmanager = stack.enter_context(running_alertmanager(alertmanager_command, tmp_path, webhook.url))
        targets = (seeing.url, blind.url)
        prometheus = stack.enter_context(running_prometheus(prometheus_binaries, tmp_path, targets, alertmanager=alertmanager))
        with ExitStack() as faults:
            group = faults.enter_context(throttled())
            device = faults.enter_context(slow_device(tmp_path / "device"))
            faults.enter_context(hanging_read(tmp_path))
            faults.enter_context(refused_configuration(seeing, config))
            faults.enter_context(existing(bug))
            expected = {
                "PerfLensSlowFileOperations": {"unit": group.name, "operation": "write", "severity": "warning"},
                "PerfLensOperationStuck": {"operation": "read"},
                "PerfLensSlowDevice": {"device": device, "operation": "read"},
                "PerfLensSlowFsync": {"operation": "fsync"},
                "PerfLensIncident": {"cause": "IO_CGROUP_THROTTLE", "subject": group.name},
                "PerfLensConfigReloadFailed": {"severity": "warning"},
                "PerfLensProbeNotAttached": {"probe": "file"},
                "PerfLensCollectorFailing": {"collector": COLLECTOR},
            }
            for name, labels in expected.items():
                wait_for(lambda n=name, own=labels: webhook.statuses(n, **own) == {"firing"}, 180, f"{name} is told", interval=1)  # type: ignore[misc]
            assert_data(prometheus, queries("classic", "perflens_sink_dropped_total"))
        blind.process.terminate()
        wait_for(lambda: prometheus.alerts("PerfLensAgentDown"), 30, "the agent that ended is missed", interval=1)
        for name, labels in expected.items():
            wait_for(lambda n=name, own=labels: webhook.statuses(n, **own) == {"resolved"}, 300, f"the end of {name} is told", interval=1)  # type: ignore[misc]
    told = {"File operations are slow.", "An operation does not end.", "A block device is slow.", "An incident is open."}
    assert told <= webhook.summaries
