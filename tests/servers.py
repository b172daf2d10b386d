"""Real servers for tests: start an agent or a Prometheus, wait until it is ready, ask it, and end it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
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


@contextmanager
def server(command: list[str], log: Path, ready: str, seconds: float = 30) -> Iterator[str]:
    """A program that runs until the end, and what the group of `ready` matched in its log.

    The agent takes every variable PERFLENS_* for configuration, so none of the tests' own is handed on.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment)

    def answer() -> str | None:
        match = re.search(ready, log.read_text())
        if not match and process.poll() is not None:
            pytest.fail(f"{command[0]} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        return match[1] if match else None

    try:
        yield wait_for(answer, seconds, f"{ready} in the log of {command[0]}")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_agent(folder: Path, *flags: str) -> Iterator[str]:
    """An agent on a port that the kernel chose, and the URL of its metrics."""
    command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", *flags]
    with server(command, folder / "agent.log", r"listening on (https?://[^\s\"\\]+)") as url:
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
        """The series of an instant query that have a value, which NaN is not."""
        result: list[dict[str, Any]] = self.get("query", {"query": expression})["result"]
        return [series for series in result if series["value"][1] != "NaN"]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        return [alert for alert in self.get("alerts")["alerts"] if alert["labels"]["alertname"] == name]


def _answers(url: str) -> bool:
    """Whether a URL is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def running_prometheus(binaries: Path, folder: Path, target: str, scrape: Mapping[str, Any] | None = None) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a URL, as ``scrape`` says beside, and evaluates the shipped rules once a second."""
    folder.mkdir(exist_ok=True)
    parts = urllib.parse.urlsplit(target)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "perflens", "metrics_path": parts.path, "static_configs": [{"targets": [parts.netloc]}], **(scrape or {})}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [str(binaries / "prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += ["--web.listen-address=127.0.0.1:0", "--log.level=info"]
    with server(command, folder / "prometheus.log", r"Listening on.* address=(127\.0\.0\.1:[1-9]\d*)") as address:
        wait_for(lambda: _answers(f"http://{address}/-/ready"), 30, "Prometheus is ready")
        yield Prometheus(f"http://{address}")
