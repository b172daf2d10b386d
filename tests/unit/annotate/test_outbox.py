"""annotate/outbox.py: rows on disk, and which go when there is no room."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.annotate.outbox import DAY, Outbox, trim
from perflens.annotate.rows import Row, annotation_of, decode, encode
from tests.unit.annotate.incidents import incident, ms

NOW = ms(100)


def row(identity: str = "0badcafe", *, opened: float = 0, resolved: float = 0, sent: int = 0, text: str = "x") -> Row:
    wanted = annotation_of(incident(identity, opened=opened, updated=opened + 30, resolved=resolved))
    made = Row(replace(wanted, text=text, brief=text), wanted.time)
    return made.delivered(sent) if sent else made


async def test_rows_survive(tmp_path: Path) -> None:
    file = tmp_path / "outbox"
    outbox = Outbox(str(file), "http://g")
    rows = (row("00000001", sent=7), replace(row("00000002", text="ü\u2028<\x85>"), doubt=True, again=True, short=True, fate="budget"))
    for each in rows:
        outbox.put(each)
    await outbox.save(NOW)
    assert Outbox(str(file), "http://g").rows == rows
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["outbox"]


async def test_ids_of_another_server_are_forgotten(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "outbox"), "http://old")
    for each in (row("00000001", sent=7), row("00000002", resolved=90, sent=8), row("00000003", resolved=90)):
        outbox.put(each)
    await outbox.save(NOW)
    assert Outbox(str(tmp_path / "outbox"), "http://new").rows == (row("00000001"), row("00000003", resolved=90))


HEAD = '{"format":"perflens.outbox/1","server":""}\n'
BROKEN = [
    b"",
    b"\x00\xff",
    b"[]\n",
    b"{}\n",
    b'{"format":"perflens.outbox/2"}\n',
    b"[" * 100_000,
    HEAD.encode() + b"{}\n",
    HEAD.encode() + b"[" * 100_000,
    HEAD.encode() + encode(row()).replace('"open"', '"ajar"').encode(),
    HEAD.encode() + encode(row()).replace('"doubt":false', '"doubt":0').encode(),
    HEAD.encode() + encode(row()).encode()[:-9],
]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
async def test_a_broken_file_is_set_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "outbox"
    file.write_bytes(content)
    outbox = Outbox(str(file))
    assert outbox.rows == ()
    assert (tmp_path / "outbox.broken").read_bytes() == content
    assert [record.message for record in caplog.records] == ["the file of unsent annotations is broken and was set aside"]
    outbox.put(row())
    await outbox.save(NOW)
    assert Outbox(str(file)).rows == (row(),)


async def test_the_good_lines_of_a_broken_file_are_kept(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "outbox"))
    outbox.put(row())
    await outbox.save(NOW)
    with (tmp_path / "outbox").open("a") as file:
        file.write('{"half')
    assert Outbox(str(tmp_path / "outbox")).rows == (row(),)


async def test_a_disk_that_takes_nothing_leaves_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(str(tmp_path / "none" / "outbox"))
    for second in (0, 1):
        outbox.put(row(opened=second))
        await outbox.save(NOW)
    assert len(outbox.rows) == 2
    assert [record.message for record in caplog.records] == ["unsent annotations are kept in memory alone"]


async def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outbox = Outbox()
    outbox.put(row())
    await outbox.save(NOW)
    assert os.listdir(tmp_path) == []


async def test_an_unchanged_outbox_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "outbox"
    outbox = Outbox(str(file))
    outbox.put(row())
    await outbox.save(NOW)
    file.unlink()
    await outbox.save(NOW)
    assert not file.exists()


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "outbox.new").symlink_to(tmp_path / "victim")
    outbox = Outbox(str(tmp_path / "outbox"))
    outbox.put(row())
    await outbox.save(NOW)
    assert (tmp_path / "victim").read_text() == "mine"


def test_what_is_done_is_forgotten_after_a_day() -> None:
    done, is_open = row("00000001", resolved=90, sent=1), row("00000002", sent=2)
    assert trim([done, is_open], ms(30) + DAY) == ([done, is_open], [])
    assert trim([done, is_open], ms(31) + DAY) == ([is_open], [])


def test_256_rows_are_kept_and_the_least_missed_go_first() -> None:
    done = row("0000000d", resolved=90, sent=1)
    stale = row("000000ee", opened=-2 * 86_400, resolved=-86_400)
    fresh = row("000000ff", resolved=90)
    rows = [row(f"{number:08}", sent=number + 2) for number in range(256)]
    assert trim([*rows, done], NOW) == (rows, [])
    assert trim([*rows[1:], done, stale], NOW) == ([*rows[1:], stale], [])
    assert trim([*rows, stale], NOW) == (rows, ["expired"])
    assert trim([*rows[1:], fresh, stale], NOW) == ([*rows[1:], fresh], ["expired"])
    assert trim([*rows, fresh], NOW) == (rows, ["overflow"])
    unsent = [row(f"{number:08}", opened=number) for number in range(257)]
    assert trim(unsent, NOW) == (unsent[1:], ["overflow"])


def test_a_mebibyte_is_kept() -> None:
    rows = [row(f"{number:08}", opened=number, text="x" * 4_000) for number in range(200)]
    kept, dropped = trim(rows, NOW)
    assert kept == rows[len(dropped) :]
    assert set(dropped) == {"overflow"}
    assert (1 << 20) - 10_000 < sum(len(encode(each)) + 1 for each in kept) < 1 << 20


def test_a_line_is_read_back() -> None:
    assert decode(encode(row(sent=3))) == row(sent=3)
    assert json.loads(encode(row()))["wanted"]["incident"] == "0badcafe"
