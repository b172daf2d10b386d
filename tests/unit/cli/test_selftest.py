"""cli/selftest.py: what it refuses, and what it says of a host where it may not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from perflens.cli import main, selftest
from perflens.errors import StartError
from perflens.model import ProbeState
from perflens.selftest import Check, Ground, Page, disk_of
from perflens.selftest.scratch import PREFIX


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("PERFLENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("perflens.cli.selftest.logs.configure", lambda *_: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    assert not list(tmp_path.glob(f"{PREFIX}*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "--nonsense: unknown flag"),
        (["unexpected"], "command line: unexpected argument"),
        (["--dir"], "--dir: has no value"),
        (["--dir=/nonexistent/folder"], "--dir: cannot be used: No such file or directory"),
        (["--dir=/dev/null"], "--dir: is no folder"),
        (["--timeout=soon"], "--timeout: is not a time"),
        (["--timeout=0"], "--timeout: is not a time"),
        (["--timeout=nan"], "--timeout: is not a time"),
        (["--timeout=601"], "--timeout: is not a time"),
        (["--url=localhost:9435"], "--url: is not the URL of an agent"),
        (["--client.token-file=/etc/passwd"], "--client.token-file: is given without --url"),
        (["--url=http://localhost", "--client.token-file=/nonexistent"], "/nonexistent: --client.token-file: cannot be read"),
        (["--threshold=x"], "--threshold: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant is exit code 2 and one line, before anything is made."""
    assert main(["selftest", *arguments]) == 2
    out, err = capsys.readouterr()

    assert out == ""
    assert err.startswith(f"perflens: {message}")
    assert len(err.splitlines()) == 1


def test_nobody_at_the_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that does not answer is exit code 1 and one line."""
    assert main(["selftest", f"--dir={tmp_path}", "--url=http://127.0.0.1:1"]) == 1
    assert "does not answer: Connection refused; " in capsys.readouterr().err


class FakeOwn:
    """Parts of an agent that attach nothing."""

    attaches = True
    raises: BaseException | None = None
    sends = 0

    def __init__(self, *_: object) -> None:
        """Nothing to do."""

    def __enter__(self) -> FakeOwn:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to do."""

    def start(self) -> None:
        if self.sends:
            os.kill(os.getpid(), self.sends)
            os.kill(os.getpid(), self.sends)
        if self.raises:
            raise self.raises

    def states(self) -> Mapping[str, ProbeState]:
        return {name: ProbeState(name, attached=False, reason="not here", cure="go there") for name in ("file", "process")}

    def page(self) -> Page:
        return Page("")

    def events(self, probe: str, min_duration: int) -> Sequence[Any]:
        return []

    def threshold(self, probe: str, operation: str) -> int:
        return 0


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> type[FakeOwn]:
    monkeypatch.setattr(selftest, "Own", FakeOwn)
    monkeypatch.setattr(FakeOwn, "raises", None)
    monkeypatch.setattr(FakeOwn, "sends", 0)
    return FakeOwn


def test_probes_that_cannot_be_attached(own: type[FakeOwn], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a line with reason and cure, and exit code 1; as JSON it is the same."""
    assert main(["selftest", f"--dir={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("perflens ")
    assert (
        "file      attached             attached                     not attached                       failed\n          not here\n" in out
    )

    assert main(["selftest", f"--dir={tmp_path}", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {(check["family"], check["verdict"], check["reason"]) for check in found["checks"] if check["name"] == "attached"} >= {
        ("file", "failed", "not here; go there")
    }


def test_leftovers_are_told(own: type[FakeOwn], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a killed run has left is removed, and said so."""
    left = tmp_path / f"{PREFIX}{2**22 + 1}-77"
    left.mkdir()
    main(["selftest", f"--dir={tmp_path}"])

    assert capsys.readouterr().err == f"perflens: removed {left.name}, which a selftest that was killed has left\n"


def test_folder_that_cannot_be_written(own: type[FakeOwn], capsys: pytest.CaptureFixture[str]) -> None:
    """No folder, no selftest: exit code 1 with the cure."""
    assert main(["selftest", "--dir=/proc"]) == 1
    assert "no folder can be made in /proc: " in capsys.readouterr().err


def test_failure_in_the_middle(own: type[FakeOwn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong, nothing is left (the fixture looks)."""
    monkeypatch.setattr(FakeOwn, "raises", StartError("no"))
    assert main(["selftest", f"--dir={tmp_path}"]) == 1

    monkeypatch.setattr(FakeOwn, "raises", RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        main(["selftest", f"--dir={tmp_path}"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(
    own: type[FakeOwn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """A signal ends it after the clean-up, which the next one does not disturb."""
    monkeypatch.setattr(FakeOwn, "sends", number)
    with pytest.raises(SystemExit) as caught:
        main(["selftest", f"--dir={tmp_path}"])

    assert caught.value.code == 128 + number
    assert capsys.readouterr().err == f"perflens: ended by {signal.Signals(number).name}\n"


def test_default_folder(own: type[FakeOwn], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a folder one is chosen."""
    seen: list[Ground] = []
    monkeypatch.setattr(selftest, "choose", lambda: disk_of(str(tmp_path)))

    def prove(_: object, __: object, own: Ground) -> list[Check]:
        seen.append(own)
        return []

    monkeypatch.setattr(selftest, "prove", prove)

    assert main(["selftest"]) == 1
    assert seen[0].disk.folder == str(tmp_path)
