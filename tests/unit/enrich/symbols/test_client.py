"""The helper process and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflens.enrich.symbols import client
from perflens.enrich.symbols.client import Helper, HelperError, HelperLate

NOTHING = [b"learn", b"0", b"0"]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def helper(clock: Clock) -> Iterator[Helper]:
    found = Helper("/proc", timeout=5, clock=clock)
    yield found
    found.close()


def killed(helper: Helper) -> None:
    os.kill(helper.pid, signal.SIGKILL)
    with pytest.raises(HelperError):
        helper.ask(NOTHING)


def test_lazy(helper: Helper) -> None:
    """It is started by the first request and serves the next ones."""
    assert helper.pid == 0
    assert helper.ask(NOTHING) == []
    first = helper.pid
    assert helper.ask(NOTHING) == []
    assert helper.pid == first > 0
    helper.close()
    assert helper.pid == 0


def test_small(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads what it needs, cannot grow without end, and hands nothing on."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    helper.ask(NOTHING)
    process = Path(f"/proc/{helper.pid}")
    resident = next(int(line.split()[1]) for line in (process / "status").read_text().splitlines() if line.startswith("RssAnon"))
    limits = (process / "limits").read_text()

    assert resident < 8 * 1024
    assert "Max address space" in limits
    assert str(320 << 20) in limits
    assert len(list((process / "fd").iterdir())) == 3
    assert (process / "environ").read_bytes() == b""


def test_back_off(helper: Helper, clock: Clock) -> None:
    """One that fails again and again is started less and less often, and all is forgiven after a while."""
    for failures in range(1, 5):
        helper.ask(NOTHING)
        killed(helper)
        assert helper.restarts == failures
        with pytest.raises(HelperError, match="a moment ago"):
            helper.ask(NOTHING)
        clock.ahead += 0.1 * 2 ** (failures - 1)
    clock.ahead += 61
    helper.ask(NOTHING)
    killed(helper)
    clock.ahead += 0.1
    assert helper.ask(NOTHING) == []


def test_idle(clock: Clock) -> None:
    """It ends when nobody asks, which is no failure."""
    helper = Helper("/proc", timeout=5, idle=0.05, clock=clock)
    helper.ask(NOTHING)
    deadline = time.monotonic() + 5
    while helper.pid and time.monotonic() < deadline:
        time.sleep(0.01)

    assert helper.pid == 0
    assert helper.ask(NOTHING) == []
    assert helper.restarts == 0
    helper.close()


def test_late(clock: Clock) -> None:
    """Without an answer in time it is killed."""
    helper = Helper("/proc", timeout=0.2, clock=clock)
    deadline = time.monotonic() + 10
    while not helper.pid and time.monotonic() < deadline:  # it may take longer than that to start
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(helper, "_timeout", 5)
            helper.ask(NOTHING)
    stopped = helper.pid
    os.kill(stopped, signal.SIGSTOP)

    with pytest.raises(HelperLate):
        helper.ask(NOTHING)

    assert (helper.timeouts, helper.restarts) == (1, 1)
    helper.close()
    assert not Path(f"/proc/{stopped}").exists()


def test_slow_start(clock: Clock) -> None:
    """One that takes longer to start than to answer serves the next request; one that never starts is killed."""
    helper = Helper("/proc", timeout=0, clock=clock)
    with pytest.raises(HelperError, match="still starting") as error:
        helper.ask(NOTHING)
    assert not isinstance(error.value, HelperLate)
    first = helper.pid
    os.kill(first, signal.SIGSTOP)
    clock.ahead += 20
    with pytest.raises(HelperLate):
        helper.ask(NOTHING)
    assert (helper.pid, helper.timeouts, helper.restarts) == (0, 2, 1)

    clock.ahead += 1
    with pytest.raises(HelperError, match="still starting"):
        helper.ask(NOTHING)
    second = helper.pid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper, "_timeout", 10)
        assert helper.ask(NOTHING) == []
    assert (helper.pid, helper.restarts) == (second, 1)
    helper.close()


def test_too_much(helper: Helper) -> None:
    """A request without bounds is not sent."""
    with pytest.raises(HelperError, match="too much"):
        helper.ask([bytes(2 << 20)])
    assert helper.restarts == 0


def test_unreadable_request(helper: Helper) -> None:
    """What makes no sense has an empty answer."""
    assert helper.ask([b"names", b"x", b"y", b"", b""]) == []
    assert helper.ask([b"learn"]) == []
    assert helper.restarts == 0


def test_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interpreter there are no names, and no crash."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    helper = Helper("/proc")
    with pytest.raises(HelperError):
        helper.ask(NOTHING)
    helper.close()


def test_parent_died() -> None:
    """It does not outlive the agent."""
    program = (
        "import os, signal; from perflens.enrich.symbols.client import Helper; helper = Helper('/proc', timeout=5);"
        "helper.ask([b'learn', b'0', b'0']); print(helper.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    orphan = Path(f"/proc/{int(parent.stdout)}/cmdline")
    deadline = time.monotonic() + 5
    while orphan.exists() and b"symbols" in orphan.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_imports() -> None:
    """What costs memory at import is not loaded."""
    program = "import sys; sys.path.append(sys.argv[1]); import perflens.enrich.symbols.helper; print(*sys.modules)"
    sources = str(Path(client.__file__).parents[3])
    found = subprocess.run([sys.executable, "-I", "-S", "-c", program, sources], check=True, capture_output=True, text=True)
    assert not {"re", "typing", "dataclasses", "json", "subprocess", "socket", "ctypes", "enum"} & set(found.stdout.split())
