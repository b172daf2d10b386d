"""Real servers for tests: start an agent or a Prometheus, wait until it is ready, ask it, and end it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "grafana" / "rules" / "perflens.yaml"

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], seconds: float, what: str, interval: float = 0.2) -> T:
    """The first result of a condition that is true; a failure that says what was waited for when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(interval)
    return result


def component(name: str, *arguments: str | Path) -> Path:
    """What a script of tests/components brings here and prints; the test is skipped, with what it says, where that cannot be had."""
    done = subprocess.run([ROOT / "tests" / "components" / name, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(done.stderr.strip().rpartition("\n")[2])
    return Path(done.stdout.strip())


@contextmanager
def server(command: list[str], log: Path, ready: str, seconds: float = 30, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A program that runs until the end, and what the group of `ready` matched in its log.

    The agent takes every variable PERFLENS_* for configuration, so none of the tests' own is handed on.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    own = {**inherited, **(environment or {})}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=own)

    def answer() -> str | None:
        match = re.search(ready, log.read_text())
        if not match and process.poll() is not None:
            pytest.fail(f"{command[0]} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        return match[1] if match else None

    try:
        yield wait_for(answer, seconds, f"{ready} in the log of {command[0]}")
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program, by force if it takes its time."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def saying(sent: bytes) -> Iterator[str]:
    """The URL of a server that says this to who comes first, whatever is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(4_096)
                client.sendall(sent)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def running_agent(folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """An agent on a port that the kernel chose, and the URL of its metrics. It knows no incidents of other agents."""
    own = {"PERFLENS_ANALYZER_STATE_FILE": f"{folder}/incidents.json", **(environment or {})}
    command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", *flags]
    with server(command, folder / "agent.log", r"listening on (https?://[^\s\"\\]+)", environment=own) as url:
        yield url


@dataclass(frozen=True)
class Prometheus:
    """The API of a Prometheus server."""

    url: str

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query that have a value, which NaN is not, or a histogram."""
        result: list[dict[str, Any]] = self.get("query", {"query": expression})["result"]
        return [series for series in result if series.get("value", (0, ""))[1] != "NaN"]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        return [alert for alert in self.get("alerts")["alerts"] if alert["labels"]["alertname"] == name]


def _answers(url: str) -> bool:
    """Whether a URL is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


# As at the owner level `pod`: the names of units are those of pods and their workloads, and there is no `unit`.
AS_PODS: list[dict[str, Any]] = [
    {"source_labels": ["unit"], "regex": "(.+)", "target_label": "namespace", "replacement": "lab"},
    {"source_labels": ["unit"], "regex": "(.+)", "target_label": "workload", "replacement": "Pod/$1"},
    {"source_labels": ["unit"], "regex": "(.+)", "target_label": "pod", "replacement": "$1"},
    {"regex": "unit", "action": "labeldrop"},
]


def _rules(folder: Path) -> Path:
    """The shipped rules, all of them evaluated as often as the tests scrape."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group.pop("interval", None)
    copy = folder / "rules.yaml"
    copy.write_text(yaml.safe_dump(rules))
    return copy


@contextmanager
def running_prometheus(
    binaries: Path,
    folder: Path,
    targets: str | Sequence[str],
    scrape: Mapping[str, Any] | None = None,
    *,
    native: bool = False,
    alertmanager: str = "",
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes URLs, as ``scrape`` says beside, and evaluates the shipped rules once a second.

    It stores ``native`` histograms or classic ones, never both, and tells an ``alertmanager`` (host:port).
    """
    folder.mkdir(exist_ok=True)
    parts = [urllib.parse.urlsplit(target) for target in ((targets,) if isinstance(targets, str) else targets)]
    job = {
        "job_name": "perflens",
        "metrics_path": parts[0].path,
        "static_configs": [{"targets": [part.netloc for part in parts]}],
        **({"scrape_protocols": ["PrometheusProto"]} if native else {}),
        **(scrape or {}),
    }
    config: dict[str, Any] = {
        # No multiple of the time that a throttled write takes: what is in flight then is not at the same point in each scrape.
        "global": {"scrape_interval": "1037ms", "evaluation_interval": "1s"},
        "rule_files": [str(_rules(folder))],
        "scrape_configs": [job],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    # Native ones by a flag, which every release knows that has them, and which newer ones take for granted.
    flags = ("--enable-feature=native-histograms",) if native else ()
    with configured_prometheus(binaries, folder, config, *flags) as found:
        yield found


@contextmanager
def configured_prometheus(binaries: Path, folder: Path, config: Mapping[str, Any], *flags: str) -> Iterator[Prometheus]:
    """A Prometheus with this configuration, and its files in a folder."""
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [str(binaries / "prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += ["--web.listen-address=127.0.0.1:0", "--log.level=info", *flags]
    with server(command, folder / "prometheus.log", r"Listening on.* address=(127\.0\.0\.1:[1-9]\d*)") as address:
        wait_for(lambda: _answers(f"http://{address}/-/ready"), 30, "Prometheus is ready")
        yield Prometheus(f"http://{address}")


@contextmanager
def running_alertmanager(command: str, folder: Path, webhook: str) -> Iterator[str]:
    """An Alertmanager that hands every alert to a webhook by itself, when it fires and when it is resolved; its host and port."""
    receiver = {"name": "webhook", "webhook_configs": [{"url": webhook, "send_resolved": True}]}
    route = {"receiver": "webhook", "group_by": ["..."], "group_wait": "1s", "group_interval": "2s", "repeat_interval": "1h"}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
    run = [command, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager"]
    run += ["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
    with server(run, folder / "alertmanager.log", r"Listening on.* address=(127\.0\.0\.1:[1-9]\d*)") as address:
        wait_for(lambda: _answers(f"http://{address}/-/ready"), 30, "Alertmanager is ready")
        yield address
