"""Real faults reach a webhook through a real Prometheus and a real Alertmanager, and so does their end."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.api_server import NODE, TOKEN, in_a_thread
from tests.integration.test_prometheus import assert_data, queries
from tests.kernel.faults import slow_disk, slow_file_system
from tests.kernel.support import RunningAgent, agent, scrape
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

    def await_all(self, expected: Mapping[str, Mapping[str, str]], status: str) -> None:
        """Wait until each alert of a name, with the ends of its labels, has this status; the longest takes 5 minutes to fire."""
        for name, labels in expected.items():
            wait_for(lambda n=name, own=labels: self.statuses(n, **own) == {status}, 360, f"{name} is {status}", interval=1)  # type: ignore[misc]


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
def watching(folder: Path, *prefix: str) -> Iterator[tuple[RunningAgent, int]]:
    """An agent that watches the pods of an API server, and the port of that server, which is gone since."""
    folder.mkdir()
    (folder / "token").write_text(TOKEN)
    own = ("--kubernetes.enabled=on", f"--kubernetes.token-file={folder}/token", f"--kubernetes.node-name={NODE}")
    with ExitStack() as stack:
        with in_a_thread([]) as (url, _, _):
            running = stack.enter_context(agent(folder, *own, f"--kubernetes.api-server={url}", prefix=prefix))
            wait_for(lambda: scrape(running.url).total("perflens_kubernetes_watch_up"), 20, "the pods are watched")
        yield running, int(url.rpartition(":")[2])


def address(running: RunningAgent) -> str:
    """The host and port of an agent, by which Prometheus names it."""
    return urllib.parse.urlsplit(running.url).netloc


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
@pytest.mark.timeout(1_200)
def test_faults_are_told_and_so_is_their_end(
    prometheus_binaries: Path, alertmanager_command: str, throttled: Throttled, tmp_path: Path
) -> None:
    """A throttled writer, a read that hangs, a slow device, an incident, a refused configuration, probes without rights, a bug, an agent
    that ended and an API server that is gone are told.

    Grafana refuses the incident meanwhile, which the dashboard shows.
    """
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    config = tmp_path / "perflens.yaml"
    config.write_text("threshold: 5ms\n")
    bug = tmp_path / "bug"
    ending = tmp_path / "ending"
    ending.mkdir()
    with ExitStack() as stack:
        model, grafana, url = stack.enter_context(servers())
        grafana.always["POST"] = "400"
        flags, environment = flags_of(tmp_path, model, url)
        environment |= with_a_bug(tmp_path / "own", bug)
        seeing = stack.enter_context(agent(tmp_path, f"--config.file={config}", *flags, environment=environment))
        blind, api_server = stack.enter_context(watching(tmp_path / "blind", *WITHOUT_RIGHTS))
        ended = stack.enter_context(agent(ending))
        webhook = stack.enter_context(listening())
        alertmanager = stack.enter_context(running_alertmanager(alertmanager_command, tmp_path, webhook.url))
        targets = (seeing.url, blind.url, ended.url)
        prometheus = stack.enter_context(running_prometheus(prometheus_binaries, tmp_path, targets, alertmanager=alertmanager))
        wait_for(lambda: len(prometheus.query("perflens_build_info")) == len(targets), 30, "all are scraped")
        ended.process.terminate()
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
                "PerfLensAgentDown": {"instance": address(ended)},
                "PerfLensKubernetesUnwatched": {"instance": address(blind)},
            }
            webhook.await_all(expected, "firing")
            assert_data(prometheus, queries("classic", "perflens_sink_dropped_total"))
        stack.enter_context(in_a_thread([], api_server))
        stack.enter_context(agent(ending, f"--web.listen-address={address(ended)}"))
        webhook.await_all({name: labels for name, labels in expected.items() if name == "PerfLensKubernetesUnwatched"}, "resolved")
        blind.process.terminate()
        webhook.await_all(expected, "resolved")
    told = {"File operations are slow.", "An operation does not end.", "A block device is slow.", "An incident is open."}
    assert told <= webhook.summaries
