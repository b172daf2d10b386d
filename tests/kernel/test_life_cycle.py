"""Starting, reloading and ending, and hosts that lack what the agent would like."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.registry import discover
from tests.kernel.support import Page, RunningAgent, agent, group, scrape, wait


def _programs() -> set[str]:
    """The tracing programs that the kernel holds, by id; of ours the names begin with file_."""
    bpftool = shutil.which("bpftool", path=f"{os.environ['PATH']}:/usr/sbin")
    if not bpftool:
        pytest.skip("needs bpftool")
    done = subprocess.run([bpftool, "prog", "list"], capture_output=True, text=True, check=True)
    return {line.split(":")[0] for line in done.stdout.splitlines() if " name file_" in line}


def _log(running: RunningAgent) -> str:
    return running.log.read_text()


def test_sigterm_ends_within_five_seconds(tmp_path: Path) -> None:
    """SIGTERM detaches and ends with code 0, even while a scrape is under way."""
    with agent(tmp_path) as running:
        scrape(running.url)
        began = time.monotonic()
        running.process.terminate()
        assert running.process.wait(5) == 0
        assert time.monotonic() - began < 5
    assert "msg=stopped" in _log(running)


def test_kill_leaves_nothing(tmp_path: Path) -> None:
    """After kill -9 no program, pin or mount of the agent is left."""
    before, mounts = _programs(), Path("/proc/self/mountinfo").read_text()
    with agent(tmp_path) as running:
        assert _programs() - before
        running.process.kill()
        running.process.wait(5)
    deadline = time.monotonic() + 5
    while _programs() - before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert mounts == Path("/proc/self/mountinfo").read_text()


def test_a_second_start_is_one_clear_error(tmp_path: Path) -> None:
    """A busy port gives exit code 1 and one line that names the address and the cure."""
    with agent(tmp_path) as running:
        address = running.url.removeprefix("http://").removesuffix("/metrics")
        second = subprocess.run(
            [sys.executable, "-m", "perflens", "run", f"--web.listen-address={address}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        scrape(running.url)
    errors = [line for line in second.stderr.splitlines() if not line.startswith("ts=")]

    assert second.returncode == 1
    assert errors == [f"perflens: {address} is in use; stop what listens there, or choose another --web.listen-address"]


@pytest.mark.parametrize(("soft", "hard", "code"), [(64, 64, 1), (255, 255, 1), (64, 256, 0), (64, 4096, 0)])
def test_open_files(tmp_path: Path, soft: int, hard: int, code: int) -> None:
    """The soft limit is raised; where the hard one is too low that is one clear error, and no probe is tried."""
    command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", "--probes.strict", "--analyzer.state-file="]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["prlimit", f"--nofile={soft}:{hard}", *command], stderr=log)
    while process.poll() is None and "listening on" not in (tmp_path / "log").read_text():
        time.sleep(0.05)
    process.terminate()
    said = (tmp_path / "log").read_text()

    assert process.wait(10) == code, said
    errors = (
        [f"perflens: only {hard} files may be open, and the agent takes 256; raise the limit (LimitNOFILE=, ulimit -n)"] if code else []
    )
    assert [line for line in said.splitlines() if "level=info" not in line] == errors


def test_sighup_applies_a_good_configuration_and_keeps_the_old_one_for_a_bad_one(tmp_path: Path, data_file: Path) -> None:
    """A lower threshold counts at once; a bad file changes nothing but the reload metric."""
    config = tmp_path / "perflens.yaml"
    config.write_text("threshold: 1h\n")
    fd = os.open(data_file, os.O_RDONLY)

    def reloaded(running: RunningAgent, text: str, successful: int) -> Page:
        config.write_text(text)
        seen = len(_log(running))
        running.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5
        while "reloaded" not in _log(running)[seen:]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        page = scrape(running.url)
        assert page.total("perflens_config_last_reload_successful") == successful
        return page

    with agent(tmp_path, f"--config.file={config}") as running, group("reload") as own:

        def read() -> int:
            wait(own.run(lambda: [os.pread(fd, 4096, 0) for _ in range(100)]))
            return scrape(running.url).slow(own.unit, "read")

        assert read() == 0
        reloaded(running, "threshold: 1us\nprobes: {file: {thresholds: {read: 1us}}}\n", 1)
        some = read()
        assert some > 0
        reloaded(running, "threshold: soon\n", 0)
        assert "perflens.yaml:1: threshold" in _log(running)
        reloaded(running, "threshold: 1us\nprobes: {file: {thresholds: {read: 1us}}}\ncells: 100\n", 0)
        assert "cells cannot change while the agent runs" in _log(running)
        reloaded(running, "threshold: 1h\n", 1)
        assert read() == read() >= some
    os.close(fd)


def test_reload_over_http_needs_the_life_cycle_flag(tmp_path: Path) -> None:
    """/-/reload answers 403 unless --web.enable-lifecycle is set."""
    for flags, expected in (((), 403), (("--web.enable-lifecycle",), 200)):
        with agent(tmp_path, *flags) as running:
            request = urllib.request.Request(running.url.replace("/metrics", "/-/reload"), method="POST")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()
        assert status == expected


def test_without_capabilities_the_agent_runs_and_says_what_is_missing(tmp_path: Path) -> None:
    """Without CAP_BPF and CAP_PERFMON the page is served, probe_attached is 0, and one log line a probe has the cure."""
    with agent(tmp_path, prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")) as running:
        page = scrape(running.url)
    lines = [line for line in _log(running).splitlines() if "probe not attached" in line]

    assert page.total("perflens_probe_attached") == 0
    assert len(lines) == len(discover())
    assert "CAP_BPF and CAP_PERFMON" in lines[0]
    assert "cure=" in lines[0]


def test_strict_ends_when_a_probe_is_missing() -> None:
    """--probes.strict turns a probe that cannot be attached into exit code 1."""
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", "--probes.strict"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 1
    assert "perflens: not attached: block, file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(discover()))
def test_a_probe_that_runs_out_of_files_says_so(name: str) -> None:
    """Wherever the limit is reached while it is attached, that is its error, and no file stays open."""
    probe, host, limits = discover()[name], inspect(), resource.getrlimit(resource.RLIMIT_NOFILE)

    def attached() -> str:
        try:
            attach(name, probe, host, rung="auto", sizes=Sizes.of(host, 64), thresholds=[1 << 62] * 5 * probe.has_durations).close()
        except ProbeError as error:
            return str(error)
        return ""

    assert attached() == ""
    held, said = os.listdir("/proc/self/fd"), []
    for most in range(len(held) + 4, len(held) + 104, 5):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
        try:
            said.append(attached())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert len(os.listdir("/proc/self/fd")) <= len(held), most
    assert any("what is loaded cannot be held: Too many open files" in own for own in said)
    assert said[-1] == ""
