"""cli: commands, output and exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from perflens import __version__
from perflens.agent.serve import take_hangups
from perflens.cli import commands, main
from perflens.cli.context import Context
from perflens.errors import PerfLensError, StartError
from perflens.model import ProbeState


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "perflens.yaml"
    path.write_text(text)
    return f"--config.file={path}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PERFLENS_")]:
        monkeypatch.delenv(name)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the name and the version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"perflens {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "--help"], ["config", "--help"], ["probes", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 0
    assert "usage: perflens" in capsys.readouterr().out


def test_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists every command with the first line of its module."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out

    for name in commands._COMMANDS:
        module = import_module(f"perflens.cli.{name}")
        assert name in text
        assert module.__doc__ is not None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["run", "--nonsense"],
        ["run", "unexpected"],
        ["config"],
        ["config", "nonsense"],
        ["config", "check", "--threshold"],
        ["config", "check", "--threshold=x"],
        ["config", "check", "--thres=5ms"],
        ["config", "check", "--config.file=/nonexistent/perflens.yaml"],
    ],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant is exit code 2 and a line on standard error; nothing on standard output."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()

    assert out == ""
    assert err.startswith("perflens: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "line",
    ["llm: {token_file: s3cret}", "web: {api_token_file: s3cret}", "grafana: {url: 'http://a:s3cret@b'}", "grafana: 'http://a:s3cret@b'"],
)
def test_secrets_in_the_wrong_place(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token in the place of its file, or a password in a URL, is refused and not repeated."""
    assert main(["config", "check", write(tmp_path, f"{line}\n")]) == 2
    assert "s3cret" not in capsys.readouterr().err


def test_config_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good configuration is said to be good."""
    assert main(["config", "check", write(tmp_path, "threshold: 1ms\n")]) == 0
    assert capsys.readouterr().out == "the configuration is good\n"


def test_config_check_names_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad one is exit code 2 with each problem's file and line."""
    assert main(["config", "check", write(tmp_path, "thresold: 1ms\nlog:\n  level: loud\n")]) == 2
    err = capsys.readouterr().err

    assert "perflens.yaml:1: " in err
    assert "perflens.yaml:3: log.level: " in err


def test_config_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown has the values of the file and the defaults, and is a good configuration itself."""
    assert main(["config", "show", write(tmp_path, "threshold: 7ms\n")]) == 0
    text = capsys.readouterr().out
    assert "threshold: 7ms" in text
    assert 'telemetry_path: "/metrics"' in text

    assert main(["config", "check", write(tmp_path, text)]) == 0


def test_config_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is JSON and knows the probes and their operations."""
    assert main(["config", "schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert "threshold" in schema["properties"]
    assert "sync_range" in json.dumps(schema)


def test_config_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The environment is read too."""
    monkeypatch.setenv("PERFLENS_THRESHOLD", "9ms")

    assert main(["config", "show"]) == 0
    assert "threshold: 9ms" in capsys.readouterr().out


def test_probes(capsys: pytest.CaptureFixture[str]) -> None:
    """Each probe is listed with its operations, its metric and its rungs."""
    assert main(["probes"]) == 0
    assert capsys.readouterr().out == (
        "block: Requests of disks: held back before they are made, queued, on the device; and bios in devices stacked on others.\n"
        "  operations: read, write, flush, discard, other\n"
        "  metrics:    perflens_block_held_duration_seconds, perflens_block_queue_duration_seconds, "
        "perflens_block_device_duration_seconds, perflens_block_layer_duration_seconds, perflens_block_bytes_total\n"
        "  rungs:      tp_btf, raw_tp\n"
        "file: Reads, writes, syncs and copies of regular files and block devices.\n"
        "  operations: read, write, fsync, sync_range, copy\n"
        "  metrics:    perflens_file_operation_duration_seconds\n"
        "  rungs:      fentry (with waits), tp_btf (with waits), raw_tp (with waits), kprobe (with waits)\n"
        "process: Processes that begin, become another program and end; cgroups that are made and removed.\n"
        "  operations: fork, exec, exit\n"
        "  metrics:    perflens_processes_forked_total, perflens_processes_executed_total, perflens_processes_exited_total\n"
        "  rungs:      tp_btf, raw_tp\n"
    )


CHECKED = [
    ProbeState("file", attached=True, mechanism="tp_btf", waits=True),
    ProbeState("file", attached=True, mechanism="raw_tp"),
    ProbeState("file", attached=False, mechanism="kprobe", reason="the kernel says no", cure="ask it nicely"),
]


@pytest.mark.parametrize(
    ("kallsyms", "expected"),
    [
        (
            "ffffffff81000000 T one\nffffffff81000010 t two\n",
            "ok   kernel symbols: 2 functions\n",
        ),
        (
            "0000000000000000 T one\n0000000000000000 t two\n",
            "GAP  kernel symbols: hidden\n     lost: reasons of waits; names of kernel functions\n     cure: ",
        ),
    ],
    ids=["readable", "hidden"],
)
def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kallsyms: str, expected: str) -> None:
    """Each rung says whether it tells waits; hidden kernel symbols are a gap with its cure, and no failure."""
    (tmp_path / "kallsyms").write_text(kallsyms)
    monkeypatch.setattr("perflens.cli.check.try_rungs", lambda name, *_: [replace(own, name=name) for own in CHECKED])
    assert main(["check", f"--path.procfs={tmp_path}"]) == 0

    text = (
        "ok   file: tp_btf: attaches, with waits\n"
        "ok   file: raw_tp: attaches, without waits\n"
        "note file: kprobe: the kernel says no\n"
        "     cure: ask it nicely\n"
    )
    out = capsys.readouterr().out
    assert expected in out
    assert text in out
    first, second, *_ = out.splitlines()
    row = "block tp_btf with waits, file tp_btf with waits, process tp_btf with waits"
    assert first == f"{platform.release()} {platform.machine()}: {row}"
    assert second.startswith("lost: ")
    assert ("reasons of waits; names of kernel functions" in second) == ("hidden" in expected)


def test_probe_that_is_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A probe that the configuration turns off is marked."""
    assert main(["probes", write(tmp_path, "probes:\n  file:\n    enabled: false\n")]) == 0
    assert capsys.readouterr().out.splitlines()[4].startswith("file (off): ")


def test_probe_without_an_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkout that was not built says so, and its configuration can still be checked."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    assert main(["probes"]) == 0
    assert "its object is missing, run make" in capsys.readouterr().out
    assert Context.of({}).catalogue["file"].operations == ()


@pytest.mark.parametrize("as_json", [False, True])
def test_check_of_a_host_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """On a host without BTF and capabilities the check is exit code 1 and names the gaps with their cures."""
    monkeypatch.setattr("perflens.kernel.features.capabilities", lambda status: frozenset())
    monkeypatch.setattr("perflens.kernel.features._BTF", tmp_path / "none")
    arguments = ["check", f"--path.procfs={tmp_path}", f"--path.sysfs={tmp_path}", *(["--json"] if as_json else [])]

    assert main(arguments) == 1
    out = capsys.readouterr().out
    if as_json:
        report = json.loads(out)
        assert list(report) == ["ok", "host", "probes", "lost", "findings"]
        assert all(list(finding) == ["name", "state", "detail", "lost", "cure"] for finding in report["findings"])
        assert {name: own["mechanism"] for name, own in report["probes"].items()} == dict.fromkeys(("block", "file", "process"))
        assert report["lost"][:3] == ["all of block", "all of file", "all of process"]
        assert report["ok"] is False
        gaps = [f"{finding['name']}: {finding['detail']}" for finding in report["findings"] if finding["state"] == "gap"]
    else:
        gaps = [line.removeprefix("GAP  ") for line in out.splitlines() if line.startswith("GAP")]
        assert out.count("     cure: ") == len(gaps) + out.count("\nnote ")
    capabilities = [
        f"{name}: missing" for name in ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE")
    ]
    probes = [f"{name}: CAP_BPF and CAP_PERFMON missing" for name in ("block", "file", "process")]
    processes = "processes: not all: another PID namespace, or hidden by hidepid"
    assert gaps == ["BTF: none", *capabilities, "kernel symbols: hidden", processes, *probes]


@pytest.mark.parametrize(
    ("error", "code"),
    [(PerfLensError("text"), 1), (StartError("text"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int) -> None:
    """An expected failure is its exit code and one line; an interrupt is 130."""

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(commands, "dispatch", fail)
    assert main(["run"]) == code
    err = capsys.readouterr().err
    assert err == ("perflens: text\n" if isinstance(error, PerfLensError) else "")


def test_error_that_nobody_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is not disguised as a message."""

    def fail(*_: object) -> int:
        raise RuntimeError("bug")

    monkeypatch.setattr(commands, "dispatch", fail)
    with pytest.raises(RuntimeError, match="bug"):
        main(["run"])


def test_letters_that_the_locale_has_not(tmp_path: Path) -> None:
    """They are told by their numbers."""
    file = tmp_path / "perflens.yaml"
    file.write_text("owner: {level: node}\nfilter: {comm: [dät]}\n")
    command = [sys.executable, "-m", "perflens", "config", "show", f"--config.file={file}"]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"d\xe4t" in done.stdout


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nonsense"], 2)])
def test_module(arguments: list[str], code: int) -> None:
    """python -m perflens is the command."""
    done = subprocess.run([sys.executable, "-m", "perflens", *arguments], capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "check"], ["probes"]], ids=" ".join)
def test_output_that_cannot_be_written(arguments: list[str], buffered: bool) -> None:
    """A disk that is full is one line with its cure and exit code 2; a reader who has had enough is none."""
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "perflens", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)

    why = "perflens: standard output: cannot be written: No space left on device; make room, or write elsewhere\n"
    assert (done.returncode, done.stderr) == (2, why)
    assert (unread.returncode, unread.stderr) == (0, "")


def test_names_that_the_locale_has_no_letters_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are escaped, as are bytes that are no text."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    monkeypatch.setattr(commands, "dispatch", lambda _: print("caf\xe9 \udcff") or 0)

    assert main(["events"]) == 0
    assert out.getvalue() == b"caf\\xe9 \\udcff\n"


def test_hangup_while_the_agent_begins() -> None:
    """A service manager that asks for a reload before the agent can take it does not end it."""
    text = """
import os, signal, sys
from perflens.cli import commands, main
commands.dispatch = lambda _: os.kill(os.getpid(), signal.SIGHUP) or 7
sys.exit(main([sys.argv[1]]))
"""
    codes = [subprocess.run([sys.executable, "-c", text, name], timeout=60, check=False).returncode for name in ("run", "events")]

    assert codes == [7, -signal.SIGHUP]


async def test_hangup_that_was_held_back() -> None:
    """It is a reload as soon as the agent can take it."""
    came, before = asyncio.Event(), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    loop = asyncio.get_running_loop()
    try:
        signal.raise_signal(signal.SIGHUP)  # to this thread: others of the tests do not hold it back
        take_hangups(loop, came.set)
        await asyncio.wait_for(came.wait(), 10)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("command", ["run", "check", "selftest"])
def test_paths_that_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A file system of the kernel that is not where the configuration says is a mistake in it: all of them at once."""
    monkeypatch.setattr("perflens.logs.configure", lambda *_: None)
    (tmp_path / "file").touch()

    assert main([command, "--path.procfs=/none/proc", f"--path.sysfs={tmp_path}/file", "--path.cgroupfs=/none/cgroup"]) == 2
    cure = "is no folder; write where the host's is mounted, or leave it out"
    assert capsys.readouterr().err.splitlines() == [
        f"perflens: /none/proc: path.procfs: {cure}",
        f"perflens: {tmp_path}/file: path.sysfs: {cure}",
        f"perflens: /none/cgroup: path.cgroupfs: {cure}",
    ]
