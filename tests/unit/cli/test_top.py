"""cli/top.py and own_agent.py: whose data is shown, and every reason why none is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from perflens.cli import main
from perflens.cli.context import Context
from perflens.cli.own_agent import OwnAgent, arguments_of
from perflens.errors import StartError
from tests.unit.tui.answers import capsule

CLOSED = "127.0.0.1:9"  # the discard port, which nobody listens on


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    for name in [name for name in os.environ if name.startswith("PERFLENS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url=http://a", "--standalone"], "--standalone: is given with --url; leave one out"),
        (["--standalone", "--replay=f"], "--replay: is given with --standalone; leave one out"),
        (["--view=stacks"], "--view: is no view; write one of dashboard, timeline, tree, analyses, heatmap, stuck"),
        (["--url=ftp://a"], "--url: is not the URL of an agent; write it as http://localhost:9435"),
        (["--client.token-file=f"], "--client.token-file: is given without --url; leave it out, or name the agent with --url"),
        (["--replay=gone"], "--replay: gone cannot be read: No such file or directory; name a file that `perflens capsule` has written"),
        (["--threshold=x"], "--threshold"),
    ],
)
def test_flags_that_cannot_be_used(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be used is one line with its cure, and exit code 2."""
    assert main(["top", "--once", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"perflens: {message}")


def test_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording is printed as it would be seen, with when it was recorded, and without colours."""
    assert main(["top", "--once", f"--replay={capsule(tmp_path)}"]) == 0

    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["PerfLens", "dashboard", "recorded", "at", "08:00:00", "by", "longest", "capsule.json"]
    assert "Slow operations 31 in 5 min, 2.50 s in all, 4 suppressed" in out
    assert [line.split()[:2] for line in out[-2:]] == [["4242", "postgres"], ["77", "cron"]]


def test_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal one view is printed, and that is said."""
    assert main(["top", f"--replay={capsule(tmp_path)}", "--view=stuck"]) == 0

    found = capsys.readouterr()
    assert found.err == "perflens: the output is no terminal: printing one view, as with --once\n"
    assert "7.00 s file fsync" in found.out


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an agent and without root the cures are named."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert main(["top", "--once", f"--web.listen-address={CLOSED}"]) == 1
    assert capsys.readouterr().err == (
        f"perflens: no agent answers at http://{CLOSED}; run `sudo perflens top`, or name an agent with --url\n"
    )


def test_an_agent_that_is_named_and_gone(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that is named is not replaced by another; why it does not answer is told."""
    assert main(["top", "--once", f"--url=http://{CLOSED}"]) == 1
    assert capsys.readouterr().err.startswith(f"perflens: {CLOSED}: ")


def test_without_textual(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the package of the screen its cure is named; text needs none."""
    monkeypatch.setitem(sys.modules, "textual", None)
    recorded = capsule(tmp_path)
    assert main(["top", "--once", f"--replay={recorded}"]) == 0
    capsys.readouterr()
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    assert main(["top", f"--replay={recorded}"]) == 1
    assert capsys.readouterr().err == "perflens: the package textual is not installed; pip install 'perflens[tui]', or use --once\n"


def test_the_flags_of_its_own_agent() -> None:
    """Its own agent has the flags that were given, but an address, a log and a file of incidents of its own."""
    catalogue = Context.of({}).catalogue
    given = {"--threshold": ["1ms", "read=2ms"], "--web.listen-address": [":1"], "--probe.block": ["false"], "--probes.strict": ["true"]}

    assert arguments_of(given, catalogue) == [
        "--threshold=1ms",
        "--threshold=read=2ms",
        "--no-probe.block",
        "--probes.strict",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=logfmt",
        "--log.level=info",
        "--web.config.file=",
        "--web.telemetry-path=/metrics",
        "--analyzer.state-file=",
    ]
    assert arguments_of({"--analyzer.state-file": ["/f"]}, catalogue)[0] == "--analyzer.state-file=/f"


def test_its_own_agent_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that ends at its start is told by its own last line, and its log is kept."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StartError) as refused, OwnAgent({"--threshold": ["0"]}, Context.of({}).catalogue):
        pass

    assert str(refused.value).startswith("the agent did not start: --threshold: ")
    assert len(list(tmp_path.glob("perflens-top-*.log"))) == 1
