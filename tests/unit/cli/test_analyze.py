"""cli/analyze.py, cli/replay.py and analyzer/records.py: recorded windows are judged again, and what is none is named."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens import logs
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.codec import encoded
from perflens.analyzer.records import LARGEST, BadRecord, Record, records_of
from perflens.analyzer.state import StateFile
from perflens.cli import main
from perflens.cli.analyze import DEFAULTS
from perflens.cli.replay import _Replayed, _worded
from perflens.config import Settings
from perflens.config.keys import leaves, tree
from perflens.config.load import load
from perflens.config.settings import Llm
from perflens.config.values import parsed
from perflens.export import analysis
from perflens.http.escaped import encode
from tests.unit.analyzer.llm.server import serving
from tests.unit.analyzer.test_recordings import BUNDLES
from tests.unit.analyzer.test_values import INCIDENT

CURE = "write the path of a capsule, or of what /api/v1/analyses of an agent has answered"
FIRST, SECOND = BUNDLES["NOISY_NEIGHBOUR_IO"], BUNDLES["MEMCG_LIMIT"]
SHOWN = [json.loads(encode(analysis.bundle(own, ACTIONS))) for own in (FIRST, SECOND)]
STORED = [encoded(own) for own in (FIRST, SECOND)]


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logging of the tests' process stays as it is."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)


def lines(documents: list[Any]) -> str:
    return "\n".join(map(json.dumps, documents)) + "\n"


FORMS: dict[str, str] = {
    "an answer of the API": json.dumps({"analyses": SHOWN}),
    "an answer, indented": json.dumps({"analyses": SHOWN}, indent=2),
    "a list": json.dumps(SHOWN),
    "lines": lines(SHOWN),
    "lines with a gap": "\n" + lines(SHOWN).replace("\n", "\n\n"),
    "a stored list": json.dumps(STORED),
    "stored lines": lines(STORED),
    "a capsule": json.dumps({"perflens_capsule": 1, "analyses": {"analyses": SHOWN}, "events": {"events": []}}),
    "a capsule with a list": json.dumps({"perflens_capsule": 1, "analyses": SHOWN}),
    "both": json.dumps([SHOWN[0], STORED[1]]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "gzip"])
def test_every_form_holds_the_same(form: str, is_compressed: bool) -> None:
    content = FORMS[form].encode()
    found = records_of(gzip.compress(content) if is_compressed else content)

    assert [own.bundle.hypotheses for own in found] == [FIRST.hypotheses, SECOND.hypotheses]
    assert all(own.bundle.recording for own in found)
    assert len({own.place for own in found}) == 2


def test_incidents_and_state_files(tmp_path: Path) -> None:
    """They hold what a window came to, without what it was judged by."""
    own = StateFile(str(tmp_path / "state"))
    own.write([INCIDENT])
    shown = json.loads(encode(analysis.incident(INCIDENT, ACTIONS)))

    for content in (
        (tmp_path / "state").read_bytes(),
        json.dumps({"host": "h", "incidents": [shown]}).encode(),
        json.dumps(shown).encode(),
    ):
        (found,) = records_of(content)
        assert (found.bundle.verdict, found.bundle.hypotheses, found.bundle.recording) == ("incident", INCIDENT.causes, None)


BAD = {
    "nothing": (b"", "is no JSON at character 1: Expecting value", 1),
    "broken": (b'{\n "a": }', "is no JSON at character 7: Expecting value", 2),
    "broken in a line": (
        lines(SHOWN).encode() + b"{]\n",
        "is no JSON at character 2: Expecting property name enclosed in double quotes",
        3,
    ),
    "a number": (b"1", "it is not a bundle, an incident, an answer of the API or a capsule", 0),
    "something else": (b'{"a": 1}', "it: is not a bundle, an incident, an answer of the API or a capsule", 0),
    "something else in a list": (json.dumps([SHOWN[0], {}]).encode(), "entry 2: is not a bundle", 0),
    "a capsule without analyses": (b'{"perflens_capsule": 1}', "analyses is not a bundle", 0),
    "half a bundle": (json.dumps({**SHOWN[0], "verdict": "guilty"}).encode(), "it: $.verdict is not one of incident, benign", 0),
    "half a bundle in a line": (lines([SHOWN[0], {**SHOWN[1], "facts": 1}]).encode(), "line 2: facts is no list", 2),
    "too deep": (b"[" * 100_000, "is nested too deeply", 0),
    "no text": (b"\xff\xfe", "is no UTF-8 at byte 0", 0),
    "cut": (gzip.compress(b"{}" * 9_000)[:40], "cannot be decompressed: ", 0),
    "no archive": (b"\x1f\x8b\x00", "cannot be decompressed: ", 0),
    "a bomb": (gzip.compress(bytes(LARGEST + 1)), f"has more than {LARGEST} bytes", 0),
    "a long number": (b"[" + b"9" * 5_000 + b"]", "is no JSON somewhere: a number is too long", 0),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_recording(case: str) -> None:
    content, message, line = BAD[case]
    with pytest.raises(BadRecord) as caught:
        records_of(content)

    assert str(caught.value).startswith(message)
    assert caught.value.line == line


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.builds(lambda at, by: FORMS["lines"].encode()[:at] + by, st.integers(0, 9_000), st.binary(max_size=9))
)
def test_any_file_is_a_recording_or_a_bad_one(content: bytes) -> None:
    try:
        assert all(own.bundle.host for own in records_of(content))
    except BadRecord as error:
        assert len(str(error)) < 1_000


def test_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, causes with their confidence, facts for and against, and actions."""
    file = tmp_path / "recorded.json"
    file.write_text(FORMS["a capsule"])

    assert main(["analyze", "--replay", str(file)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "1970-01-01T00:00:20Z h (analyses, analyses, entry 1): incident"
    assert out[1].startswith("  NOISY_NEIGHBOUR_IO on sda: high (")
    assert "    for     E02 sda: device.utilization 0.98 (usual 0.1)" in out
    assert any(line.startswith("    against E") for line in out)
    assert any(line.startswith("    action  A02 Limit the I/O of the culprit. Risk: ") for line in out)
    assert any(line.startswith("  MEMCG_LIMIT on db.service: ") for line in out)
    assert not [line for line in out if "recorded: " in line]


def test_replay_to_a_full_disk(tmp_path: Path) -> None:
    """What cannot be written is one error."""
    (tmp_path / "recorded.json").write_text(FORMS["a capsule"])
    command = [sys.executable, "-m", "perflens", "analyze", f"--replay={tmp_path}/recorded.json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output: cannot be written" in done.stderr


def test_replay_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recorded.jsonl"
    changed = {**SHOWN[1], "verdict": "benign", "causes": []}
    file.write_text(lines([SHOWN[0], changed, {**SHOWN[1], "recording": None}]))

    assert main(["analyze", "--json", f"--replay={file}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(own["place"], own["judged"], own["same"], own["complete"]) for own in found] == [
        ("line 1", True, True, True),
        ("line 2", True, False, True),
        ("line 3", False, True, False),
    ]
    assert found[0]["analysis"]["causes"] == found[0]["recorded"]["causes"] == SHOWN[0]["causes"]
    assert (found[1]["analysis"]["verdict"], found[1]["recorded"]["verdict"]) == ("incident", "benign")


def test_other_words_are_no_other_judgement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A capsule without names has the claims of its causes in other words."""
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({**SHOWN[0], "causes": [{**cause, "claim": "it was"} for cause in SHOWN[0]["causes"]]}))

    assert main(["analyze", "--json", "--replay", str(file)]) == 0
    assert [own["same"] for own in json.loads(capsys.readouterr().out)] == [True]


def test_what_was_judged_otherwise_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recorded.jsonl"
    old = [{**SHOWN[0]["causes"][0], "code": "SLOW_DEVICE", "score": 0.5}]
    file.write_text(lines([{**SHOWN[0], "causes": old}, {**SHOWN[0], "recording": {**SHOWN[0]["recording"], "complete": False}}]))

    assert main(["analyze", "--replay", str(file)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "  recorded: incident: SLOW_DEVICE sda 0.500" in out
    assert "1970-01-01T00:00:20Z h (line 2): incident, of a recording that was cut" in out


def test_replay_of_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FORMS["lines"].encode())))

    assert main(["analyze", "--replay", "-"]) == 0
    assert "NOISY_NEIGHBOUR_IO on sda" in capsys.readouterr().out


def test_text_of_a_recording_reaches_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody else recorded may have been written by anybody."""
    file = tmp_path / "evil"
    evil = replace(FIRST, host="h\x1b[2J\u202e", recording=None)
    file.write_text(json.dumps(encoded(evil)))

    assert main(["analyze", "--replay", str(file)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


async def test_the_model_is_asked_of_what_has_a_cause() -> None:
    """What it says is held against the facts as ever: what cannot be used leaves the rules' words, and says why."""
    quiet = replace(FIRST, hypotheses=(), verdict="benign", recording=None)
    async with serving("not json") as server:
        own_settings = Settings(llm=Llm(base_url=server.base_url, cache_file=""))
        found = await _worded([_Replayed(Record("a", own), own) for own in (FIRST, quiet)], own_settings)

    assert server.requests
    assert [own.outcome for own in found] == ["invalid", ""]
    assert found[0].words == FIRST.hypotheses[0].claim


ERRORS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no file": (
        lambda folder: [f"--replay={folder}/none"],
        "perflens: --replay {folder}/none: cannot be read: No such file or directory; " + CURE,
    ),
    "a folder": (lambda folder: [f"--replay={folder}"], "perflens: --replay {folder}: cannot be read: Is a directory; " + CURE),
    "a bad line": (
        lambda folder: [f"--replay={folder}/bad"],
        "perflens: --replay {folder}/bad:2: is no JSON at character 1: Expecting value; " + CURE,
    ),
    "empty": (
        lambda folder: [f"--replay={folder}/empty"],
        "perflens: --replay {folder}/empty:1: is no JSON at character 1: Expecting value; " + CURE,
    ),
    "json alone": (lambda _: ["--json"], "perflens: --json: is given without --replay; leave it out, or name a file with --replay"),
    "a model alone": (
        lambda _: ["--replay.llm"],
        "perflens: --replay.llm: is given without --replay; leave it out, or name a file with --replay",
    ),
    "no model": (
        lambda folder: [f"--replay={folder}/good", "--replay.llm", "--llm.base-url="],
        "perflens: --replay.llm: there is no model to ask; set llm.base_url, and llm.token_file or HF_TOKEN",
    ),
    "no agents": (
        lambda _: ["--fleet.state-file="],
        "perflens: configuration: fleet: there are no agents to read; set fleet.dns or fleet.agents",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_one_error_with_its_cure(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "bad").write_text(lines(SHOWN[:1]) + "nothing\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "good").write_text(FORMS["lines"])
    arguments, message = ERRORS[case]

    assert main(["analyze", *arguments(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == message.format(folder=tmp_path)


def test_defaults_of_its_own() -> None:
    """They are values that each key takes, below whatever is written down."""
    keys = {key.path: key for key in leaves(tree({}))}
    for path, value in DEFAULTS.items():
        for one in value if isinstance(value, tuple) else (value,):
            assert parsed(keys[path], str(one)) == one
    own = load({}, {}, None, {}, DEFAULTS)
    assert (own.web.listen_address, own.grafana.per_hour, own.fleet.interval) == ((":9436",), 30, 15 * 10**9)
    assert load({"--web.listen-address": [":1"]}, {}, None, {}, DEFAULTS).web.listen_address == (":1",)
    assert load({}, {"PERFLENS_WEB_LISTEN_ADDRESS": ":2"}, None, {}, DEFAULTS).web.listen_address == (":2",)
    assert load({}, {}, None, {}).web.listen_address == (":9435",)


@pytest.mark.parametrize("text", ["[]", '{"analyses": []}', '{"perflens_capsule": 1, "analyses": {"analyses": []}}'])
def test_a_quiet_host(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording of a host on which nothing was slow is none the less one."""
    (tmp_path / "quiet").write_text(text)

    assert main(["analyze", f"--replay={tmp_path}/quiet"]) == 0
    assert capsys.readouterr().out == "Nothing was slow: there is no window to judge.\n"
    assert main(["analyze", f"--replay={tmp_path}/quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
