"""cli/events, timeline, flame, capsule: commands that ask a running agent, here the API over wired stages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.web import Application, AppRunner, SockSite

from perflens import capsule
from perflens.cli import main
from perflens.http import api
from perflens.http.access import Access
from tests.evidence import evidence
from tests.interrupt import interruptible
from tests.servers import saying
from tests.unit.capsules import busy_agent
from tests.unit.test_api_wired import NOW, Agent


@contextmanager
def served(agent: Agent, port: int = 0, token_file: str = "") -> Iterator[str]:
    """The agent's API on a port, by a thread with a loop of its own."""
    loop, listening = asyncio.new_event_loop(), socket.create_server(("127.0.0.1", port))

    async def start() -> AppRunner:
        app = Application()
        app.add_subapp("/api", api.application(agent.api(), Access(token_file), lambda: True))
        runner = AppRunner(app)
        await runner.setup()
        await SockSite(runner, listening).start()
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def url() -> Iterator[str]:
    with served(busy_agent()) as found:
        yield found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return command


def test_events(run: Run, url: str) -> None:
    """One line for each operation, the oldest first."""
    code, out, err = run("events", f"--url={url}")

    assert (code, err) == (0, "")
    assert [line.split()[1:5] for line in out.splitlines()] == [
        ["10.0ms", "file.read", "db[100]", "a.service"],
        ["30.0ms", "file.read", "db[101]", "a.service"],
        ["20.0ms", "file.read", "db[101]", "a.service"],
        ["10.0ms", "block.read", "db[100]", "a.service"],
    ]


@pytest.mark.parametrize(
    ("flags", "milliseconds"),
    [
        (["--limit=1"], [10]),
        (["--min=20ms"], [30, 20]),
        (["--pid=100", "--probe=file"], [10]),
        (["--operation=read", "--unit=a.service", "--probe=block"], [10]),
        (["--unit=b.service"], []),
        (["--in-progress"], [9000]),
        (["--since=1700001000"], [10]),
    ],
)
def test_filters(run: Run, url: str, flags: list[str], milliseconds: list[int]) -> None:
    """Each filter is the API's."""
    code, out, _ = run("events", f"--url={url}", "--json", *flags)

    assert code == 0
    assert [json.loads(line)["duration_ns"] // 10**6 for line in out.splitlines()] == milliseconds


def test_events_as_a_table(run: Run, url: str) -> None:
    """A header, and a row for each operation."""
    lines = run("events", f"--url={url}", "--csv")[1].splitlines()

    assert len(lines) == 5
    assert lines[0].startswith("start_time,id,probe,operation,object,duration_seconds,")
    assert ",file,read,ext4,0.030000000,4096,db,101,worker," in lines[2]


def test_timeline(run: Run, url: str) -> None:
    """Seconds in which something happened; a table has them all."""
    _, out, _ = run("timeline", f"--url={url}", "--seconds=5")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["2023-11-14T22:29:59Z", "3", "60.0ms", "0", "0", "file.read=3"],
        ["2023-11-14T22:30:00Z", "1", "10.0ms", "1", "0", "block.read=1"],
    ]
    assert len(run("timeline", f"--url={url}", "--seconds=5", "--all")[1].splitlines()) == 6
    assert len(run("timeline", f"--url={url}", "--seconds=5", "--csv")[1].splitlines()) == 6
    seconds = [json.loads(line) for line in run("timeline", f"--url={url}", "--seconds=5", "--json")[1].splitlines()]
    assert [own["slow"]["count"] for own in seconds] == [0, 0, 0, 3, 1]


STACK = "a.service;file.read;read [libc.so.6];folio_wait_[k];io_schedule_[k]"


def test_flame(run: Run, url: str) -> None:
    """The same stack with its time in µs, its count, or a part of its frames; a picture of it; a filter."""
    assert run("flame", f"--url={url}", "--probe=file") == (0, f"{STACK} 60000\n", "")
    assert run("flame", f"--url={url}", "--probe=file", "--weight=count")[1] == f"{STACK} 3\n"
    assert run("flame", f"--url={url}", "--probe=file", "--kind=user")[1] == "a.service;file.read;read [libc.so.6] 60000\n"
    assert run("flame", f"--url={url}", "--unit=b.service", "--folded") == (0, "", "")
    assert "<title>io_schedule: 60.0ms, 100.0 %</title>" in run("flame", f"--url={url}", "--svg", "--probe=file")[1]


def test_flame_into_a_file(run: Run, url: str, tmp_path: Path) -> None:
    """A file holds what the standard output would; one that cannot be written is one error."""
    assert run("flame", f"--url={url}", "-o", "f", "--probe=file") == (0, "", "")
    assert (tmp_path / "f").read_text() == f"{STACK} 60000\n"
    code, _, err = run("flame", f"--url={url}", "--output=/nonexistent/f")
    assert (code, err) == (2, "perflens: /nonexistent/f: cannot be written: No such file or directory; name another file with --output\n")


def test_capsule(run: Run, url: str, tmp_path: Path) -> None:
    """A capsule has what the API answers, and says where it is."""
    assert run("capsule", f"--url={url}", "-o", "own") == (0, "own: 5 slow operations, 1 incidents\n", "")
    found = capsule.read(str(tmp_path / "own"))

    assert found.build == "1.0"
    assert [event["in_progress"] for event in found.members["events"]["events"]] == [True, False, False, False, False]
    assert found.members["events"]["events"][0]["comm"] == "worker"
    assert found.members["config"]["config"]["probes"]["file"]["thresholds"] == {"fsync": "100ms"}


def test_name_of_a_capsule(run: Run, url: str, tmp_path: Path) -> None:
    """Without a name it gets one by its time."""
    assert run("capsule", f"--url={url}")[0] == 0
    (name,) = os.listdir(tmp_path)
    assert name.startswith("perflens-2")
    assert name.endswith("Z.capsule")


def test_capsule_of_an_incident(run: Run, url: str, tmp_path: Path) -> None:
    """One incident with its windows; one that there is not is an error, and no file."""
    assert run("capsule", f"--url={url}", "-o", "own", "--incident=0123abcd")[0] == 0
    assert len(capsule.read(str(tmp_path / "own")).members["analyses"]["analyses"]) == 1
    code, _, err = run("capsule", f"--url={url}", "-o", "other", "--incident=ffffffff")
    assert (code, err) == (1, "perflens: there is no incident 'ffffffff'; /api/v1/incidents lists those that there are\n")
    assert os.listdir(tmp_path) == ["own"]


def test_capsule_without_names(run: Run, url: str, tmp_path: Path) -> None:
    """No name of the host is in the file."""
    run("capsule", f"--url={url}", "-o", "bare", "--anonymize")
    text = json.dumps(capsule.read(str(tmp_path / "bare")).members)

    assert [name for name in ("worker", '"db', "a.service", "/data", "table", "libc", "sda", '"h"') if name in text] == []
    assert "io_schedule" in text


def test_replay(run: Run, url: str) -> None:
    """Each command says the same of a capsule as of the agent that it was made of."""
    run("capsule", f"--url={url}", "-o", "own")
    commands = (
        ("events", "--min=20ms", "--csv"),
        ("events", "--pid=100", "--limit=1", "--json"),
        ("events", "--in-progress"),
        ("events", "--unit=b.service"),
        ("events", "--since=1700001000", "--probe=block"),
        ("timeline", "--seconds=3"),
        ("flame", "--svg"),
        ("flame", "--operation=read", "--probe=file"),
    )
    for command in commands:
        assert run(*command, "--replay=own") == run(*command, f"--url={url}")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["events", "--min=5x"], 2, "answers 400: parameter min_duration cannot be '5x'; write a duration such as 5ms, or seconds"),
        (["events", "--limit=0"], 2, "parameter limit cannot be '0'; write a number from 1 to 1000"),
        (["events", "--json", "--csv"], 2, "not allowed with argument"),
        (["events", "--follow", "--in-progress"], 2, "--follow: does not go with --in-progress; leave one of them out"),
        (["events", "--follow", "--replay=x"], 2, "--follow: does not go with --replay; leave one of them out"),
        (["events", "--replay=/nonexistent"], 2, "/nonexistent: cannot be read: No such file or directory; name a file"),
        (["timeline", "--seconds=301"], 2, "parameter seconds cannot be '301'; write a number from 1 to 300"),
        (["flame", "--kind=all"], 2, "invalid choice: 'all'"),
        (["events", "--url=ftp://x"], 2, "--url: is not the URL of an agent; write it as http://localhost:9435"),
        (["events", "--client.token-file=/nonexistent"], 2, "--client.token-file: cannot be read: No such file or directory"),
        (["events", "--threshold=5ms"], 2, "--threshold: unknown flag"),
    ],
)
def test_errors(run: Run, url: str, arguments: list[str], code: int, message: str) -> None:
    """What cannot be meant is one line with its cure."""
    found, out, err = run(arguments[0], f"--url={url}", *arguments[1:])

    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_bad_parameter_of_a_capsule(run: Run, url: str) -> None:
    """A capsule refuses what the agent refuses."""
    run("capsule", f"--url={url}", "-o", "own")
    message = "command line: parameter min_duration cannot be '5x'; write a duration such as 5ms, or seconds such as 0.005"
    assert run("events", "--replay=own", "--min=5x") == (2, "", f"perflens: {message}\n")


def test_token(run: Run, tmp_path: Path) -> None:
    """A wrong token is the agent's own message; the right one is shown."""
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"{name}-token")
        (tmp_path / name).chmod(0o600)
    with served(busy_agent(), token_file=str(tmp_path / "right")) as url:
        code, _, err = run("timeline", f"--url={url}", f"--client.token-file={tmp_path}/wrong")
        assert (code, "answers 401: the token is not the right one; send the token" in err) == (1, True)
        assert run("timeline", f"--url={url}", f"--client.token-file={tmp_path}/right")[0] == 0


def test_nobody_there(run: Run) -> None:
    """An agent that does not run is one line with the cure."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, _, err = run("events", f"--url=http://127.0.0.1:{port}", "--follow")
    told = f"http://127.0.0.1:{port}/api/v1/events does not answer: Connection refused; start the agent there, or correct --url"
    assert (code, err) == (1, f"perflens: {told}\n")


def test_another_server(run: Run) -> None:
    """What answers otherwise is no agent, or one of another version."""

    class Other(Agent):
        def events(self, _: Any) -> Any:
            return {"events": [{"id": 1}]}

    with served(Other()) as url:
        code, _, err = run("events", f"--url={url}")
        message = "answers otherwise than it should: events lacks cursor; use the perflens of the agent's version"
        assert (code, err) == (1, f"perflens: {url}/api/v1/events {message}\n")


class Following:
    """`perflens events --follow` in a process of its own."""

    def __init__(self, url: str, *flags: str, stdout: int = subprocess.PIPE) -> None:
        command = [sys.executable, "-m", "perflens", "events", "--follow", f"--url={url}", *flags]
        self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)

    def lines(self, number: int) -> list[str]:
        assert self.process.stdout
        return [self.process.stdout.readline() for _ in range(number)]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out or "", err


def test_follow(tmp_path: Path) -> None:
    """What ends is shown once; an interrupt is the end, without an error."""
    agent = busy_agent()
    with served(agent) as url:
        own = Following(url, "--json", "--probe=file", "--limit=2")
        assert [json.loads(line)["duration_ns"] for line in own.lines(2)] == [30 * 10**6, 20 * 10**6]
        for ms in range(1, 31):
            agent.take(evidence(duration=ms, end=NOW + ms))
        assert [json.loads(line)["duration_ns"] for line in own.lines(30)] == list(range(1, 31))
        assert own.end() == (0, "", "")


def test_follow_over_a_restart() -> None:
    """Another agent in the place of the first one is told, and what it has is shown."""
    with served(busy_agent()) as url:
        own = Following(url, "--json", "--limit=1")
        own.lines(1)
    assert own.process.stderr
    gone = own.process.stderr.readline()
    second = Agent()
    with served(second, int(url.rpartition(":")[2])):
        second.take(evidence(duration=5, end=NOW))
        found = [json.loads(line) for line in own.lines(2)]
        code, _, err = own.end()

    assert (found[0], found[1]["duration_ns"]) == ({"restarted": True}, 5)
    assert (code, err) == (0, "perflens: the agent answers again\n")
    cure = "start the agent there, or correct --url; asking again"
    assert gone == f"perflens: {url}/api/v1/events does not answer: Connection refused; {cure}\n"


def test_follow_tells_what_it_missed() -> None:
    """More operations in one moment than the agent keeps: how many were not shown is told, and none is shown twice."""
    agent = Agent()
    with served(agent) as url:
        own = Following(url, "--json")
        agent.take(evidence(duration=1, end=NOW + 1))
        own.lines(1)
        for number in range(1_500):
            agent.store.add(evidence(duration=number + 2, end=NOW + number))
        found: list[int] = []
        missed = 0
        while len(found) + missed < 1_500:
            value = json.loads(own.lines(1)[0])
            missed += value.get("missed", 0)
            found += [value["duration_ns"]] if "id" in value else []
        assert own.end()[0] == 0

    assert found == sorted(set(found))
    assert found[-1] == 1_501


def test_reader_that_has_enough() -> None:
    """A pipe that nobody reads any more is the end, at once and without an error, though nothing happens."""
    with served(busy_agent()) as url:
        read, write = os.pipe()
        own = Following(url, stdout=write)
        os.close(write)
        with open(read) as first:
            first.readline()
        _, err = own.process.communicate(timeout=20)
        assert (own.process.returncode, err) == (0, "")


def test_answer_that_breaks_off(run: Run) -> None:
    """An agent that ends in the midst of an answer is one that does not answer: --follow asks it again, and nobody is sent to --url."""
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"events": ['
    with saying(half) as url:
        code, _, err = run("events", f"--url={url}")

    told = f"{url}/api/v1/events does not answer: IncompleteRead(12 bytes read, 4988 more expected)"
    assert (code, err) == (1, f"perflens: {told}; start the agent there, or correct --url\n")


LETTERS = "/dät/日本"


def named(folder: Path, url: str, run: Run) -> str:
    """A capsule with letters that are not in ASCII."""
    run("capsule", f"--url={url}", "-o", "own")
    known = capsule.read("own")
    stacks = [{**own, "owner": LETTERS} for own in known.members["stacks"]["stacks"]]
    capsule.write("named", replace(known, members={**known.members, "stacks": {**known.members["stacks"], "stacks": stacks}}))
    return str(folder / "named")


@pytest.mark.parametrize("form", ["--folded", "--svg"])
def test_flame_in_a_locale_without_its_letters(run: Run, url: str, tmp_path: Path, form: str) -> None:
    """Stacks and pictures are UTF-8 in every locale, as in a file."""
    command = [sys.executable, "-m", "perflens", "flame", form, f"--replay={named(tmp_path, url, run)}"]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, b"")
    assert LETTERS in done.stdout.decode("utf-8")


def test_peer_that_has_enough() -> None:
    """The other end of a socket, as the journal's or that of ssh, is the same when it closes."""
    with served(busy_agent()) as url:
        ours, theirs = socket.socketpair()
        own = Following(url, "--limit=1", stdout=theirs.fileno())
        theirs.close()
        assert ours.recv(4_096)
        ours.close()
        _, err = own.process.communicate(timeout=20)
        assert (own.process.returncode, err) == (0, "")


@pytest.mark.parametrize("command", ["timeline --csv", "top --once"])
def test_full_disk(url: str, command: str) -> None:
    """What cannot be written is one error."""
    with open("/dev/full", "w") as full:
        whole = [sys.executable, "-m", "perflens", *command.split(), f"--url={url}"]
        done = subprocess.run(whole, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    message = "standard output: cannot be written: No space left on device; make room, or write elsewhere"
    assert (done.returncode, done.stderr) == (2, f"perflens: {message}\n")


@pytest.mark.parametrize("command", ["flame", "capsule --output=-", "top --once", "top"])
def test_closed_output(url: str, command: str) -> None:
    """A command without a standard output says so."""
    whole = f"exec {sys.executable} -m perflens {command} --url={url} >&-"
    done = subprocess.run(["sh", "-c", whole], stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.endswith("perflens: standard output: is closed; open it, or write to a file\n")
