"""Real slow operations through the commands that ask an agent: followed line by line, as a flame graph, in a capsule."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from perflens import capsule
from perflens.capsule import MEMBERS
from tests.interrupt import interruptible
from tests.kernel.slow import cold_file, events, in_group, program, python_in_group, throttled, until, wait_for_events
from tests.kernel.support import RunningAgent, agent
from tests.throttle import BLOCK, Group

WRITES = 20
SECRETS = {
    name: f"zq-secret-{name.lower().replace('_', '-')}-qz" for name in ("API", "LLM", "GRAFANA", "HF_TOKEN", "GRAFANA_TOKEN", "OTLP")
}
WRITER = f"""
import mmap
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
block = mmap.mmap(-1, {BLOCK})
for number in range({WRITES}):
    os.pwrite(fd, block, number * {BLOCK})
"""


@dataclass(frozen=True)
class Watched:
    """An agent that holds a secret of every kind, and a group whose writes are slow."""

    agent: RunningAgent
    group: Group
    folder: Path

    @property
    def url(self) -> str:
        return self.agent.url.removesuffix("/metrics")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "perflens", arguments[0], f"--url={self.url}", *arguments[1:]]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def _secret_file(folder: Path, name: str) -> Path:
    file = folder / f"{name.lower()}-token"
    file.write_text(SECRETS[name])
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("exports")
    flags = [
        "--threshold=100ms",  # a busy host has so many slow operations that the agent would let go of ours
        f"--web.api-token-file={_secret_file(folder, 'API')}",
        f"--llm.token-file={_secret_file(folder, 'LLM')}",
        "--llm.base-url=http://127.0.0.1:9",
        f"--llm.cache-file={folder}/llm-cache.json",
        f"--grafana.token-file={_secret_file(folder, 'GRAFANA')}",
        "--grafana.url=http://127.0.0.1:9",
        f"--grafana.outbox-file={folder}/outbox.jsonl",
    ]
    environment = {
        "HF_TOKEN": SECRETS["HF_TOKEN"],
        "GRAFANA_TOKEN": SECRETS["GRAFANA_TOKEN"],
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRETS['OTLP']}",
    }
    with throttled(folder) as group, agent(folder, *flags, environment=environment) as running:
        yield Watched(running, group, folder)


@contextmanager
def following(command: Sequence[str], out: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A command that can be interrupted, gone at the end."""
    with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, preexec_fn=interruptible) as process:
        try:
            yield process
        finally:
            process.kill()


def test_every_write_is_one_line(watched: Watched) -> None:
    """20 throttled writes are exactly 20 lines of `events --follow`, the same operations as in the API, in their order."""
    unit = f"/{watched.group.name}"
    command = watched.command("events", "--follow", "--json", f"--unit={unit}", "--probe=file", "--operation=write")
    out = watched.folder / "followed"
    with out.open("wb") as file, following(command, file) as process:
        subprocess.run(python_in_group(watched.group, WRITER, watched.folder / "written"), check=True, timeout=60)
        until(lambda: len(out.read_text().splitlines()) >= WRITES)
        time.sleep(1.5)  # what comes twice comes now
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert (process.wait(20), process.stderr.read()) == (0, b"")
    followed = [json.loads(line) for line in out.read_text().splitlines()]
    kept = events(watched.agent.url, owner=unit, probe="file", operation="write")[::-1]

    assert [event["id"] for event in followed] == [event["id"] for event in kept]
    assert len({event["id"] for event in followed}) == len(followed) == WRITES
    lines = watched.run("events", f"--unit={unit}", "--probe=file", "--operation=write", "--limit=1000").splitlines()
    assert len(lines) == WRITES
    assert {line.split(" ", 1)[1].split()[1] for line in lines} == {"file.write"}


def test_flame_has_the_time_of_a_stack(watched: Watched) -> None:
    """A slow read by functions with names: its stack has the time of its event, in µs."""
    own = program(watched.folder / "reader")
    file = cold_file(watched.folder)
    subprocess.run(in_group(watched.group, own, file, "direct"), check=True, timeout=60)
    (event,) = wait_for_events(watched.agent.url, 1, lambda event: event["file"]["path"] == str(file), operation="read")

    lines = watched.run("flame", "--kind=user", f"--unit=/{watched.group.name}", "--operation=read", "--probe=file").splitlines()
    (line,) = [line for line in lines if "outer_step" in line]
    frames, _, value = line.rpartition(" ")
    names = [frame.split(" [")[0] for frame in frames.split(";")]
    assert names[:2] == [f"/{watched.group.name}", "file.read"]
    assert [name for name in names if name in ("main", "outer_step", "inner_step")] == ["main", "outer_step", "inner_step"]
    assert int(value) == round(event["duration_ns"] / 1_000)
    assert "outer_step" in watched.run("flame", "--svg", f"--unit=/{watched.group.name}")


def _capsule(watched: Watched, name: str, *flags: str) -> tuple[Path, bytes]:
    path = watched.folder / name
    watched.run("capsule", f"--output={path}", *flags)
    return path, gzip.decompress(path.read_bytes())


def test_capsule_round_trip(watched: Watched) -> None:
    """A capsule opens elsewhere with what the API had said, and commands say the same of it."""
    unit = f"/{watched.group.name}"
    before = watched.run("events", f"--unit={unit}", "--csv")
    path, text = _capsule(watched, "whole")
    members = capsule.read(str(path)).members

    assert len(before.splitlines()) > WRITES
    assert watched.run("events", f"--unit={unit}", "--csv", f"--replay={path}") == before
    assert set(members) == set(MEMBERS)
    mine = [event for event in members["events"]["events"] if event["owner"]["unit"] == unit and event["operation"] == "write"]
    assert len([event for event in mine if event["probe"] == "file"]) == WRITES
    assert members["config"]["config"]["llm"]["token_file"] == str(watched.folder / "llm-token")
    assert json.loads(text)["perflens_capsule"] == 1


@pytest.mark.parametrize("flags", [(), ("--anonymize",)], ids=["whole", "anonymous"])
def test_capsule_holds_no_secret(watched: Watched, flags: tuple[str, ...]) -> None:
    """No token is in a capsule, whether it came from a file or from the environment."""
    _, text = _capsule(watched, "searched", *flags)

    assert [name for name, secret in SECRETS.items() if secret.encode() in text or secret[3:-3].encode() in text] == []


def test_capsule_without_names(watched: Watched) -> None:
    """No name of this host is in an anonymous capsule: its owners, files, disks, programs and itself."""
    _, text = _capsule(watched, "bare", "--anonymize")
    value: dict[str, Any] = json.loads(text)
    names = {watched.group.name, str(watched.folder), "written", "outer_step", "reader", os.uname().nodename, watched.folder.name}

    assert {name for name in names if f'"{name}"'.encode() in text or (len(name) > 4 and name.encode() in text)} == set()
    assert any("vfs_" in frame for event in value["events"]["events"] for frame in event["kernel_stack"])
