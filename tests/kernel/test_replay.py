"""A capsule of a host with a real fault, opened where there is no agent, no state and no network: the same evidence, the same verdict."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from perflens.tui import units
from tests.kernel.slow import cold_file, python_in_group, throttled
from tests.kernel.support import PATIENCE, agent
from tests.terminal import Terminal, terminal
from tests.throttle import BLOCK, BLOCKS
from tests.web_configs import HASH, PASSWORD

SECONDS = 60
CAUSE = "IO_CGROUP_THROTTLE"
COMM = "zq-reader"
TOKENS = {name: f"zq-secret-{name}-{secrets.token_hex(4)}-qz" for name in ("api", "llm", "grafana", "HF_TOKEN")}
READER = f"""
import ctypes, mmap
ctypes.CDLL(None).prctl(15, {COMM.encode()!r}, 0, 0, 0)
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
block = mmap.mmap(-1, {BLOCK})
while True:
    for number in range({BLOCKS}):
        os.preadv(fd, [block], number * {BLOCK})
"""


@dataclass(frozen=True)
class Recorded:
    """Two capsules of one fault, and what the agent itself said of it at that time."""

    whole: Path
    bare: Path
    pid: int
    unit: str
    container: str
    file: Path
    incident: dict[str, Any]
    analyses: list[dict[str, Any]]
    events: list[dict[str, Any]]


class _Asked:
    """The API of an agent that wants to know who asks."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._password = url.removesuffix("/metrics"), folder / "password"
        self._password.write_text(PASSWORD)
        self._password.chmod(0o600)

    def api(self, view: str, **query: object) -> Any:
        request = urllib.request.Request(
            f"{self._url}/api/v1/{view}?{urllib.parse.urlencode(query)}", headers={"Authorization": f"Bearer {TOKENS['api']}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def incident(self, subject: str) -> dict[str, Any]:
        """The incident about somebody, once it has been told."""
        deadline = time.monotonic() + SECONDS * PATIENCE
        while True:
            for own in self.api("incidents", state="open")["incidents"]:
                if own["subject"]["name"].endswith(subject):
                    return dict(own)
            assert time.monotonic() < deadline, self.api("analyses", limit=3)
            time.sleep(1)

    def capsule(self, path: Path, *flags: str) -> Path:
        who = ("--client.user=ops", f"--client.password-file={self._password}")
        command = [sys.executable, "-m", "perflens", "capsule", f"--url={self._url}", *who, f"--output={path}", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return path


def _configured(folder: Path) -> Path:
    """A configuration that names a secret of every kind, and the hash of a password."""
    for name, token in TOKENS.items():
        (folder / name).write_text(token)
        (folder / name).chmod(0o600)
    (folder / "web.yml").write_text(f"basic_auth_users:\n  ops: {HASH}\n")
    file = folder / "perflens.yaml"
    file.write_text(
        f"web: {{config_file: {folder}/web.yml, api_token_file: {folder}/api}}\n"
        f"llm: {{base_url: 'http://127.0.0.1:9', token_file: {folder}/llm, cache_file: {folder}/cache.json}}\n"
        f"grafana: {{url: 'http://127.0.0.1:9', token_file: {folder}/grafana, outbox_file: {folder}/outbox.jsonl}}\n"
    )
    return file


@contextmanager
def _reader(command: list[str]) -> Iterator[int]:
    with subprocess.Popen(command) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A reader in a container of its own, whose every read waits for its limit, until the agent tells an incident of it."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare, of util-linux")
    folder, container = tmp_path_factory.mktemp("zq-fault"), secrets.token_hex(32)
    file = cold_file(folder).rename(folder / "zq-table.dat")
    flags = (f"--config.file={_configured(folder)}", "--threshold=20ms")
    environment = {"HF_TOKEN": TOKENS["HF_TOKEN"]}
    with (
        throttled(folder, name=f"docker-{container}.scope") as group,
        _reader(python_in_group(group, READER, file)) as pid,
        agent(folder, *flags, environment=environment) as running,
    ):
        own = _Asked(running.url, folder)
        own.incident(group.name)
        analyses, events = own.api("analyses", limit=1000)["analyses"], own.api("events", pid=pid, probe="file")["events"]
        ends = [each["end_time_ns"] for each in analyses]
        later = {each["end_time_ns"] for each in own.api("analyses", since=f"{ends[-1] / 1e9 + 0.001:.3f}")["analyses"]}
        assert later >= set(ends[:-1])
        assert ends[-1] not in later
        incident = own.incident(group.name)
        whole, bare = own.capsule(folder / "whole"), own.capsule(folder / "bare", "--anonymize")
    return Recorded(whole, bare, pid, group.name, container, file, incident, analyses, events)


def _elsewhere(folder: Path) -> dict[str, str]:
    """The environment of somebody else: without state, and without the settings of this test."""
    home = folder / "home"
    home.mkdir()
    return {"HOME": str(home), "TMPDIR": str(home), "XDG_STATE_HOME": str(home), "XDG_CACHE_HOME": str(home), "LC_ALL": "C.UTF-8"}


def _alone(*arguments: str) -> list[str]:
    """A command of PerfLens that has no network, not even loopback."""
    return ["unshare", "--net", "--", sys.executable, "-m", "perflens", *arguments]


def _judged(capsule: Path, folder: Path) -> list[dict[str, Any]]:
    command = _alone("analyze", f"--replay={capsule}", "--json")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **_elsewhere(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _gist(analysis: dict[str, Any]) -> tuple[str, list[tuple[Any, ...]]]:
    causes = [(own["code"], own["subject"]["name"], own["score"], own["confidence"], own["explains"]) for own in analysis["causes"]]
    return analysis["verdict"], causes


def test_the_same_verdict(recorded: Recorded, tmp_path: Path) -> None:
    """Every window that the agent judged comes to the same causes, subjects, scores and verdict; the fault is the first cause."""
    judged = {own["analysis"]["end_time_ns"]: own for own in _judged(recorded.whole, tmp_path)}
    told = {own["end_time_ns"]: own for own in recorded.analyses}
    first = _gist(judged[recorded.incident["analysis"]["end_time_ns"]]["analysis"])

    assert told.keys() <= judged.keys()
    assert [own["place"] for own in judged.values() if not (own["same"] and own["judged"] and own["complete"])] == []
    assert {end: _gist(judged[end]["analysis"]) for end in told} == {end: _gist(own) for end, own in told.items()}
    assert first == _gist(recorded.incident["analysis"])
    assert (first[1][0][0], first[1][0][1]) == (CAUSE, recorded.incident["subject"]["name"])
    assert first[1][0][1].endswith(recorded.unit)


def test_the_same_verdict_without_names(recorded: Recorded, tmp_path: Path) -> None:
    """Without names the rules come to the same, about an alias."""
    judged = {own["analysis"]["end_time_ns"]: own for own in _judged(recorded.bare, tmp_path)}
    verdict, causes = _gist(judged[recorded.incident["analysis"]["end_time_ns"]]["analysis"])
    before = _gist(recorded.incident["analysis"])

    assert all(own["same"] for own in judged.values())
    assert (verdict, [(code, *rest) for code, _, *rest in causes]) == (before[0], [(code, *rest) for code, _, *rest in before[1]])
    assert re.fullmatch(r"/?unit-\d+\.scope", causes[0][1])


@contextmanager
def _replayed(recorded: Recorded, folder: Path) -> Iterator[Terminal]:
    command = _alone("top", f"--replay={recorded.whole}")
    with terminal(*command, size=(200, 60), environment=_elsewhere(folder)) as own:
        own.shows("PerfLens", "? help")
        yield own
        assert list((folder / "home").iterdir()) == [], "it leaves nothing behind"


def test_dashboard_and_stacks(recorded: Recorded, tmp_path: Path) -> None:
    """The reader is the slowest with its longest read, whose parts and stacks Enter shows."""
    members = json.loads(gzip.decompress(recorded.whole.read_bytes()))
    longest = next(own for own in members["processes"]["by_maximum"] if own["process"]["pid"] == recorded.pid)
    took, slowest = units.duration(longest["maximum_ns"]), longest["slowest"]
    with _replayed(recorded, tmp_path) as own:
        text = own.shows("recorded", f" {recorded.pid} {COMM}", CAUSE)
        row = next(line for line in text.split("\n") if re.match(rf" *{recorded.pid} ", line))
        own.press("/", str(recorded.pid), "Enter", "Enter")
        stacks = own.shows(f"PID {recorded.pid}", "operation 1 of ", f"file read {took}", "User stack")

    assert re.search(rf" {took} file read ", row)
    assert recorded.file.name in row
    assert f"Slow operations {members['summary']['slow']['count']} in 5 min" in text
    assert re.search(r"^  cgroup_throttle +\S+ m?s +\d+% ", stacks, re.MULTILINE)
    frames = slowest["kernel_stack"][:3] + slowest["user_stack"][:3]
    assert len(frames) > 3
    assert [frame for frame in (recorded.container, *frames) if frame not in stacks] == []


def test_timeline(recorded: Recorded, tmp_path: Path) -> None:
    """The newest read that the agent told is there with its time, its duration and its wait, below the bars."""
    event = recorded.events[0]
    at, took = units.precise_clock(event["start_time_seconds"] + event["duration_seconds"]), units.duration(event["duration_ns"])
    with _replayed(recorded, tmp_path) as own:
        own.press("/", f"{recorded.pid} read", "Enter", "t", "-", "-")
        text = own.shows("of the last 5 min", at)

    assert re.search(rf"^{at} +{recorded.pid} {COMM} +{re.escape(took)} file read +cgroup_throttle ", text, re.MULTILINE)
    assert re.search(r"^ *slow [1-9]\d* .*█", text, re.MULTILINE)


def test_processes_heat_map_and_stuck(recorded: Recorded, tmp_path: Path) -> None:
    """The reader is in the tree with its slow operations, and the heat map has the row of its reads."""
    with _replayed(recorded, tmp_path) as own:
        own.press("/", str(recorded.pid), "Enter", "p")
        tree = own.shows("1 of ", "with their slow operations")
        own.press("h")
        own.until(lambda text: bool(re.search(r"≥ (128|256) ms .*[░▒▓█]", text)))
        own.press("n")
        own.shows("Operations that have not ended")

    assert re.search(rf"^ *{recorded.pid} +{COMM} +[1-9]\d* ", tree, re.MULTILINE)


def test_incident_and_its_evidence(recorded: Recorded, tmp_path: Path) -> None:
    """The incident is open there, with the facts and the advice that the agent gave."""
    (cause, *_) = recorded.incident["causes"]
    with _replayed(recorded, tmp_path) as own:
        own.press("a", "/", recorded.incident["id"], "Enter")
        history = own.shows("Incidents ", recorded.incident["subject"]["name"][:16])
        own.press("Enter")
        text = own.shows(f"incident {recorded.incident['id']}", "confidence, score")

    assert re.search(rf" open +{recorded.incident['severity']} +{CAUSE} ", history)
    assert f"1. {CAUSE} owner {recorded.unit}" in text
    assert f"score {cause['score']:.2f}, explains {cause['explains']:.0%}" in text
    assert [fact for fact in cause["supporting"] if f"+ {fact} " not in text] == []
    assert cause["actions"][0]["text"][:40] in text


def _contents(path: Path) -> bytes:
    """A file as it lies there, and unpacked."""
    raw = path.read_bytes()
    return raw + gzip.decompress(raw)


def test_no_secret(recorded: Recorded) -> None:
    """No token, no password, no hash of one is in a capsule, in no form that goes over the wire."""
    held = [*TOKENS.values(), PASSWORD, HASH]
    sent = [base64.b64encode(text.encode()).decode().rstrip("=") for text in (*TOKENS.values(), f"ops:{PASSWORD}")]

    for path in (recorded.whole, recorded.bare):
        assert [secret for secret in (*held, *sent) if secret.encode() in _contents(path)] == []


def test_no_names(recorded: Recorded) -> None:
    """On request nothing names the process, its file, its cgroup, its container, or the host."""
    host, folder = os.uname().nodename, recorded.file.parent
    names = (COMM, recorded.file.name, str(folder), folder.name, recorded.unit, recorded.container, recorded.container[:12], "zq-")
    whole, bare = _contents(recorded.whole), _contents(recorded.bare)

    assert [name for name in names if name.encode() not in whole] == [], "they were there to be left out"
    assert [name for name in names if name.encode() in bare] == []
    assert f'"{host}"'.encode() not in bare
