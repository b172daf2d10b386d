"""`perflens top` in a real terminal, before a real agent under real slow writes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.waiting import free_port
from tests.kernel.slow import api, until
from tests.kernel.support import PATIENCE, agent
from tests.terminal import Terminal, terminal
from tests.throttle import CannotThrottle, throttled_group
from tests.web_configs import HASH, PASSWORD, TLS, lay_out

ROOT = Path(__file__).parents[2]
HOSTILE = b"e\x1b[31m\x07\xe2\x80\xaev"
SHOWN = "e\\x1b[31m\\x07\\u202ev"
TOP = (sys.executable, "-m", "perflens", "top")
WRITER = (
    "import ctypes, sys; sys.path.insert(0, sys.argv[1]); from tests.throttle import write_for_ever; "
    f"ctypes.CDLL(None).prctl(15, {HOSTILE!r}, 0, 0, 0); write_for_ever(sys.argv[2], sys.argv[3:])"
)


@dataclass(frozen=True)
class Host:
    """An agent, and a process with a hostile name whose every write takes 250 ms."""

    url: str
    pid: int
    unit: str
    file: str


@contextmanager
def slow_host(folder: Path) -> Iterator[Host]:
    name = f"perflens-top-{os.getpid()}"
    try:
        with throttled_group(folder, name, 1 << 20) as group, agent(folder) as running:
            file = folder / "slow.dat"
            writer = subprocess.Popen([sys.executable, "-c", WRITER, str(ROOT), str(file), *group.procs])
            try:
                until(lambda: bool(api(running.url, "events", pid=writer.pid)["events"]), 30 * PATIENCE)
                yield Host(running.url.removesuffix("/metrics"), writer.pid, f"/{name}", str(file))
            finally:
                writer.kill()
                writer.wait()
                file.unlink(missing_ok=True)
    except CannotThrottle as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with slow_host(tmp_path_factory.mktemp("top")) as found:
        yield found


@contextmanager
def top(host: Host, *flags: str, size: tuple[int, int] = (120, 40), **environment: str) -> Iterator[Terminal]:
    """The UI in a terminal, with the slow process on its dashboard."""
    with terminal(*TOP, f"--url={host.url}", *flags, size=size, environment=environment) as own:
        own.shows("PerfLens", "? help")
        yield own


def selected(own: Terminal, host: Host) -> None:
    """Filter for the slow process, which is selected then."""
    own.shows(str(host.pid))
    own.press("/", str(host.pid), "Enter")
    own.shows(f"filter: {host.pid}")


def test_dashboard(host: Host) -> None:
    """The slow process stands there with its longest write, its owner and its file, its name escaped."""
    with top(host, size=(200, 40)) as own:
        longest = re.compile(rf"^ *{host.pid} .* (\d{{3}} ms|\d\.\d\d s) file write .*", re.MULTILINE)
        text = own.until(lambda text: "block write" in text and bool(longest.search(text)))
    row = next(longest.finditer(text))[0]

    assert SHOWN in row
    assert host.unit in row
    assert host.file in row
    assert text.split("\n")[1].startswith("Slow operations ")


def test_stacks(host: Host) -> None:
    """Enter shows where the time went and both stacks; the arrows go through the operations and scroll; q goes back."""
    with top(host, size=(120, 20)) as own:
        selected(own, host)
        own.press("Enter")
        text = own.shows("operation 1 of", "Where the time went")
        assert f"PID {host.pid}" in text
        assert re.search(r"cgroup_throttle +\d+ ms +\d+%", own.shows("cgroup_throttle"))
        own.press("Right")
        own.shows("operation 2 of")
        own.press("Left")
        own.shows("operation 1 of")
        own.press("End")
        own.shows("User stack", "pwrite")
        own.press("Home", "PPage")
        own.shows("Where the time went")
        own.press("NPage")
        own.until(lambda text: "operation 1 of" not in text)
        own.press("q")
        own.shows("Slowest processes")


def test_timeline(host: Host) -> None:
    """A bar a second, the newest operations, the window by + and -, sorted by o."""
    with top(host, "--view=timeline") as own:
        text = own.shows("of the last 1 min, a bar a second", str(host.pid))
        assert re.search(r"slow +\d+ .*█", text)
        own.press("+")
        own.shows("of the last 30 s")
        own.press("-", "-", "-")
        own.shows("of the last 5 min, a bar for 3 s")
        own.press("o")
        own.shows("by longest")
        own.press("Home", "Enter")
        own.shows("Where the time went")


def test_forks_and_execs(host: Host) -> None:
    """A program that is started now is in the list with its path and its parent, among the slow operations."""
    with top(host, "--view=timeline", size=(200, 60)) as own:
        own.shows("of the last 1 min")
        for _ in range(3):
            subprocess.run(["/bin/true"], check=True)
        own.press("/", *"/true", "Enter")
        text = own.until(
            lambda text: len(re.findall(rf"^[0-9:.]+ +\d+ true +process exec +by {os.getpid()} +/\S*/true ", text, re.MULTILINE)) >= 3
        )
        assert re.search(r"^ *execs [1-9]\d* .*█", text, re.MULTILINE)
        own.press("Escape")
        own.shows("process fork", "process exec", "file write", "cgroup_throttle")
        own.press("o", "o")
        own.until(lambda text: "by newest slow" in text and "file write" in text and "process fork" not in text)


def test_processes(host: Host) -> None:
    """The tree has the slow process below its parents; sorted it is flat; Enter shows its stacks."""
    with top(host, size=(120, 60)) as own:
        own.press("p", "/", *str(host.pid), "Enter")
        text = own.shows(f"{host.pid} ", "by tree", "1 of")
        row = next(line for line in text.split("\n") if re.match(rf" *{host.pid} ", line))
        assert re.search(rf"{host.pid} +python\w* +\d+ ", row)
        own.press("o", "o")
        own.shows("by name")
        own.press("s")
        own.shows(f"PID {host.pid}", "Where the time went")


def test_analyses(host: Host) -> None:
    """The incident of the throttle comes to the history, and Enter shows its evidence."""
    with top(host) as own:
        own.press("a")
        own.shows("open", "IO_CGROUP_THROTTLE", seconds=60 * PATIENCE)
        own.press("/", *"IO_CGROUP", "Enter", "Enter")
        text = own.shows("confidence, score", "E0")
        assert "IO_CGROUP_THROTTLE" in text
        own.press("Escape")
        own.until(lambda text: "filter:" not in text)
        own.press("q")
        own.shows("Incidents ")


def test_heat_map_and_stuck(host: Host) -> None:
    """The heat map has the row of 250 ms writes; what has not ended stands in the list of the stuck."""
    with top(host, "--view=heatmap") as own:
        own.until(lambda text: bool(re.search(r"≥ (128|256) ms .*[░▒▓█]", text)))
        own.press("n")
        own.shows("Operations that have not ended")


def test_help_filter_pause_sort(host: Host) -> None:
    """The help names the keys; the filter narrows as it is written; pause holds the screen; o sorts."""
    with top(host) as own:
        own.press("?")
        own.shows("Keys", "the timeline: a bar for each second")
        own.press("q", "o")
        own.shows("by total")
        own.press("/", *"no such name")
        own.shows("no process matches the filter")
        own.press("Escape")
        own.shows(str(host.pid))
        own.press("Space")
        own.shows("PAUSED")
        time.sleep(1)  # what was on the way has come
        before = own.lines[1]
        time.sleep(3)
        assert own.lines[1] == before
        own.press("Space")
        own.until(lambda text: "PAUSED" not in text and text.split("\n")[1] != before)


def test_copy(host: Host) -> None:
    """The selected row is in the clipboard of the terminal."""
    with top(host) as own:
        own.tmux("set-option", "-s", "set-clipboard", "on")
        selected(own, host)
        own.press("y")
        own.shows("copied")
        assert own.tmux("show-buffer").split()[0] == str(host.pid)


@pytest.mark.parametrize("size", [(40, 10), (300, 80), (80, 24)])
def test_sizes(host: Host, size: tuple[int, int]) -> None:
    """The screen follows the size of the terminal, from 40x10 to 300x80, and the slow process is on it."""
    with top(host, size=(100, 30)) as own:
        selected(own, host)
        own.resize(*size)
        text = own.until(lambda text: text.startswith(" PerfLens  dashboard ") and " ? help" in text.split("\n")[size[1] - 1])

    assert f" {host.pid} e" in text


def test_without_colour(host: Host) -> None:
    """With NO_COLOR there are no colours, and what is selected is reversed."""
    with top(host, NO_COLOR="1") as own:
        own.shows(str(host.pid))
        text = own.coloured

    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7]|38|48|9[0-7])[;m]", text)
    assert re.search(r"\x1b\[[0-9;]*7m", text)


class Proxy:
    """A connection to the agent that can be held, and cut."""

    def __init__(self, host: Host) -> None:
        address, _, port = host.url.removeprefix("http://").rpartition(":")
        self._agent = (address, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.open = threading.Event()
        self.cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            agent = socket.create_connection(self._agent)
            for source, sink in ((client, agent), (agent, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        """Small pieces with pauses, as a slow network gives them."""
        try:
            while data := source.recv(4096):
                self.open.wait()
                if self.cut:
                    break
                time.sleep(0.002)
                sink.sendall(data)
        except OSError:
            pass
        for own in (source, sink):
            own.close()


def test_slow_and_broken_network(host: Host) -> None:
    """While no answer comes keys are obeyed and the wait is told; data comes when it does; cut, it stays and is told as stale."""
    proxy = Proxy(host)
    with terminal(*TOP, f"--url={proxy.url}", size=(120, 30)) as own:
        own.shows("waiting for the agent")
        own.press("?")
        own.shows("Keys")
        own.press("q")
        own.shows("stale for", "no answer yet")
        proxy.open.set()
        own.shows(str(host.pid))
        own.until(lambda text: "stale for" not in text)
        proxy.cut = True
        own.shows("stale for", str(host.pid))
        own.press("t")
        own.shows("timeline")
        own.press("q")
        proxy.cut = False
        own.until(lambda text: "stale for" not in text and "dashboard" in text, 40)
        own.press("q")
        assert own.code() == 0
    proxy.close()


def test_agent_killed(tmp_path: Path) -> None:
    """When the agent is killed the last data stays, with its age and the reason."""
    with agent(tmp_path) as running, terminal(*TOP, f"--url={running.url.removesuffix('/metrics')}") as own:
        own.shows("processes, ", " were slow")
        running.process.kill()
        text = own.shows("stale for", "onnect")
        assert " were slow" in text
        own.press("q")
        assert own.code() == 0


def test_agent_behind_tls_and_a_password(tmp_path: Path) -> None:
    """An agent with a web configuration is shown to who trusts its authority and has the password, and the others are told why not."""
    lay_out(tmp_path)
    (tmp_path / "web.yml").write_text(f"{TLS}basic_auth_users:\n  ops: {HASH}\n")
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    port = free_port()
    with agent(tmp_path, f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={tmp_path}/web.yml", seconds=20):
        trusted = [*TOP, f"--url=https://localhost:{port}", f"--client.ca-file={tmp_path}/ca.pem"]
        with terminal(*trusted, "--client.user=ops", f"--client.password-file={password}") as own:
            own.shows("processes, ", " were slow")
        with terminal(*trusted) as own:
            own.shows("stale for", "HTTP 401")
        with terminal(*TOP, f"--url=https://localhost:{port}") as own:
            own.shows("stale for", "ertificate verify failed")
        done = subprocess.run(
            [*TOP, "--once", f"--web.listen-address=127.0.0.1:{port}"], capture_output=True, text=True, timeout=60, check=False
        )

    assert done.returncode == 1
    assert f"http://127.0.0.1:{port} does not answer as an agent: " in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_terminal_after_a_signal(host: Host, number: signal.Signals) -> None:
    """After a signal the terminal is as before: its settings, its screen, its cursor."""
    with top(host) as own:
        own.shows(str(host.pid))
        (pid,) = children(int(own.flag("pane_pid")))
        os.kill(pid, number)

        assert own.code() == 128 + number


def test_terminal_after_a_bug(host: Host) -> None:
    """After a bug the terminal is as before, and one line tells it."""
    code = (
        "import sys, perflens.tui.app as app; from perflens.cli import main\n"
        "def broken(self): raise ZeroDivisionError('a bug of the test')\n"
        "app.Top.action_pause = broken\n"
        f"sys.exit(main(['top', '--url={host.url}']))"
    )
    with terminal(sys.executable, "-c", code) as own:
        own.shows(str(host.pid))
        own.press("Space")
        assert own.code() == 1
        text = own.text

    assert "perflens: the screen failed, which is a bug: ZeroDivisionError: a bug of the test; please report it" in text.replace("\n", "")
    assert "Traceback" not in text


def test_terminal_that_goes_away(host: Host) -> None:
    """When the terminal is closed the UI ends."""
    with top(host) as own:
        (pid,) = children(int(own.flag("pane_pid")))
        own.tmux("kill-session")
        until(lambda: not Path(f"/proc/{pid}").exists())


def test_output_to_a_pipe(host: Host) -> None:
    """Without a terminal one view is printed, and what was done is said."""
    done = subprocess.run([*TOP, f"--url={host.url}"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)

    assert done.returncode == 0
    assert done.stderr == "perflens: the output is no terminal: printing one view, as with --once\n"
    assert re.search(rf"^ +{host.pid} e\\x1b\[31m", done.stdout, re.MULTILINE)


@contextmanager
def standalone(folder: Path) -> Iterator[tuple[Terminal, int, int]]:
    """The UI with an agent of its own: the terminal, the PID of the UI and that of the agent."""
    with terminal(*TOP, "--standalone", "--threshold=1ms", size=(120, 30), environment={"TMPDIR": str(folder)}) as own:
        own.shows("own agent", " were slow", seconds=60 * PATIENCE)
        (ui,) = children(int(own.flag("pane_pid")))
        (pid,) = [child for child in children(ui) if b"run" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")]
        yield own, ui, pid
        until(lambda: not Path(f"/proc/{pid}").exists())


def test_standalone(tmp_path: Path) -> None:
    """Its own agent is started, shown, and ended with the UI; the flags are the agent's."""
    with standalone(tmp_path) as (own, _, pid):
        assert b"--threshold=1ms" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        own.press("q")
        assert own.code() == 0
        assert list(tmp_path.iterdir()) == []


def test_standalone_killed(tmp_path: Path) -> None:
    """No agent is left when the UI is killed."""
    with standalone(tmp_path) as (_, ui, _pid):
        os.kill(ui, signal.SIGKILL)


def test_standalone_terminal_closed(tmp_path: Path) -> None:
    """No agent is left when the terminal is closed."""
    with standalone(tmp_path) as (own, _, _pid):
        own.tmux("kill-session")


def test_standalone_agent_killed(tmp_path: Path) -> None:
    """When its agent ends the UI says how, and where its log is."""
    with standalone(tmp_path) as (own, _, pid):
        os.kill(pid, signal.SIGKILL)
        own.shows("stale for", "the agent has ended (-9)", "its log is")
        own.press("q")
        assert own.code() == 0
        assert [path.suffix for path in tmp_path.iterdir()] == [".log"]


def children(pid: int) -> list[int]:
    """The processes that a process has made."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
