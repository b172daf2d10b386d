"""Baselines, onsets, words, documents and the state file."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analysis import HOST, Bundle, Fact, Hypothesis, Impact, Incident, Subject
from perflens.analyzer.baseline import Baseline
from perflens.analyzer.codec import BadDocument, decoded, encoded
from perflens.analyzer.onset import onset
from perflens.analyzer.signals import Signal
from perflens.analyzer.state import StateFile
from perflens.analyzer.totals import OperationKey, OperationTotal, RequestKey, RequestTotal, Totals
from perflens.analyzer.words import quantity, told
from tests.unit.analyzer.scenes import DISK, VICTIM, signal

FACT = Fact("E01", "device.queue", DISK, "requests in flight", 12.5, "", 0.25, 1, "exact", "/proc/diskstats", "support")
CAUSE = Hypothesis("A", 0.9, DISK, None, (VICTIM,), "It is so.", ("E01",), (), 1.0)
BUNDLE = Bundle("h", 1, 2, 0, Impact(3, 4.5, {VICTIM: 4.5}), (FACT,), (CAUSE,), "incident", ("gap",))
INCIDENT = Incident("0123abcd", "h", "open", "warning", 1, 2, 2, 0, "Something.", (CAUSE,), BUNDLE, history=((1, "B"),))


def _mean(value: float) -> Signal:
    return Signal("latency", DISK, value, "s", "", "", counts=False)


def test_baseline_is_the_median_and_knows_nothing_at_first() -> None:
    own = Baseline(least=3)
    for value in (1, 9, 2):
        assert own.usual("m", HOST) is None
        own.learn([signal("m", HOST, value)])

    assert own.usual("m", HOST) == 2
    assert [one.baseline for one in own.applied([signal("m", HOST, 5), signal("n", HOST, 5)])] == [2, 0]


def test_what_does_not_happen_is_usual_too() -> None:
    """What counts was 0 in a window without it, before it was first seen as well; a mean was nothing."""
    own = Baseline(least=1)
    for _ in range(4):
        own.learn([])
    own.learn([signal("m", HOST, 5), _mean(0.5)])
    own.learn([])

    assert own.usual("m", HOST) == 0
    assert [one.baseline for one in own.applied([_mean(9)])] == [0.5]
    assert [one.baseline for one in Baseline(least=0).applied([_mean(9)])] == [None]


def test_baseline_is_bounded() -> None:
    own = Baseline(limit=10, windows=5, least=1)
    for number in range(100):
        own.learn([signal(f"m{number}", HOST, 1)])

    assert len(own) <= 10
    assert own.usual("m0", HOST) == 0


def test_what_is_measured_still_is_known_still() -> None:
    """Owners come and go; what goes is what was not measured for long, and of one window the owners before the disks and the host."""
    own, lasting = Baseline(limit=40, windows=5, least=1), (signal("m", HOST, 7), signal("m", DISK, 8), _mean(9))
    for number in range(100):
        pods = [Subject("owner", f"/{number}.{pod}") for pod in range(30)]
        own.learn([*lasting, *(signal("m", pod, 1) for pod in pods), signal("m", VICTIM, 3)])
        assert [own.usual("m", HOST), own.usual("m", DISK), own.usual("latency", DISK), own.usual("m", VICTIM)] == [7, 8, 9, 3]

    own.learn([*lasting, *(signal("m", Subject("owner", f"/{pod}"), 1) for pod in range(90))])
    assert len(own) == 40
    assert [own.usual("m", HOST), own.usual("m", DISK), own.usual("latency", DISK)] == [7, 8, 9]


@pytest.mark.parametrize(
    ("seconds", "usual", "expected"),
    [
        ([0, 0, 1, 1, 1, 1], [0] * 10, 2),
        ([0, 1, 0, 0, 0, 0, 1, 1, 1], [0] * 10, 6),
        ([0, 0, 0], [0] * 10, None),
        ([1, 1, 1], [1.0, 1.1, 0.9, 1.0], None),
        ([1, 1, 5, 5, 5], [1.0, 1.1, 0.9, 1.0], 2),
        ([0, 0, 0, 1], [0] * 10, 3),
        ([], [], None),
    ],
)
def test_onset(seconds: list[float], usual: list[float], expected: int | None) -> None:
    assert onset(seconds, usual) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0482, "s", "48.2 ms"),
        (2, "s", "2 s"),
        (0.00000012, "s", "120 ns"),
        (0, "s", "0 s"),
        (0.505, "ratio", "50.5 %"),
        (2_500_000, "B/s", "2.5 MB/s"),
        (0, "B", "0 B"),
        (1234.5, "1/s", "1230/s"),
        (12.5, "", "12.5"),
        (1_234_567, "", "1230000"),
    ],
)
def test_quantity(value: float, unit: str, expected: str) -> None:
    assert quantity(value, unit) == expected


def test_told() -> None:
    assert told(FACT) == "E01 sda: requests in flight 12.5 (usual 0.25)"


def test_documents_come_back() -> None:
    assert decoded(Incident, json.loads(json.dumps(encoded(INCIDENT)))) == INCIDENT


@pytest.mark.parametrize(
    "change",
    [
        {"state": "asleep"},
        {"opened": "1"},
        {"opened": True},
        {"causes": {}},
        {"bundle": None},
        {"history": [[1]]},
        {"unknown": 1},
    ],
)
def test_bad_documents(change: dict[str, Any]) -> None:
    with pytest.raises(BadDocument, match=r"^\$"):
        decoded(Incident, {**encoded(INCIDENT), **change})


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda own: st.lists(own) | st.dictionaries(st.text(), own)))
def test_any_document(document: Any) -> None:
    with pytest.raises(BadDocument):
        decoded(Incident, document)


def test_state_file(tmp_path: Path) -> None:
    path = tmp_path / "below" / "state.json"
    own = StateFile(str(path))

    assert own.read() == []
    own.write([INCIDENT])
    assert StateFile(str(path)).read() == [INCIDENT]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]


def test_a_state_file_is_never_too_large_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What ended goes first, the oldest before the newer ones; it is told when an open one has no room."""
    monkeypatch.setattr("perflens.analyzer.state._LARGEST", 2 * len(json.dumps(encoded(INCIDENT))) + 300)
    own = StateFile(str(tmp_path / "state.json"))
    ended = [replace(INCIDENT, id=f"0000000{number}", state="resolved", updated=number) for number in range(1, 6)]
    own.write([*ended, INCIDENT])

    assert [one.id for one in own.read()] == [INCIDENT.id, "00000005"]
    assert own.failed == 0
    own.write([replace(INCIDENT, id=f"0000000{number}") for number in range(3)])
    assert len(own.read()) == 2
    assert own.failed == 1
    assert [record.message for record in caplog.records] == ["incidents cannot be kept over a restart"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": "other/1"}', b'{"schema": "perflens.incidents/1"}', b"\xff" * 9, b"[" * 9_999]
)
def test_a_state_file_of_something_else(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)

    assert StateFile(str(path)).read() == []
    assert "incidents of before cannot be read" in caplog.text


def test_a_state_file_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    own = StateFile("/proc/nothing/state.json")
    own.write([INCIDENT])
    own.write([INCIDENT])

    assert own.failed == 2
    assert caplog.text.count("incidents cannot be kept over a restart") == 1


def test_no_state_file() -> None:
    own = StateFile("")
    own.write([INCIDENT])
    assert (own.read(), own.failed) == ([], 0)


def test_totals_since() -> None:
    """What is new counts whole; so does a series that expired and came again."""
    read, sync, io = OperationKey("read", "/a"), OperationKey("fsync", "/b"), RequestKey("read", "sda", "/a")
    before = Totals(5, {read: OperationTotal(10, 100, 1, 50), sync: OperationTotal(9, 90, 0, 0)}, {})
    after = Totals(
        25,
        {read: OperationTotal(15, 160, 2, 80), sync: OperationTotal(3, 30, 1, 20)},
        {io: RequestTotal(2, 8_192, 1, 2, 3)},
    )

    assert after.since(before) == Totals(
        20,
        {read: OperationTotal(5, 60, 1, 30), sync: OperationTotal(3, 30, 1, 20)},
        {io: RequestTotal(2, 8_192, 1, 2, 3)},
    )
    assert after.since(after) == Totals(0, {}, {})
    assert Subject("host") == HOST
