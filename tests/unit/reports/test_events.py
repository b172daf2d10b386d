"""reports/events.py and sheet.py: a slow operation as a line and as a row."""

from __future__ import annotations

import csv
import io

import pytest

from perflens.model import FileIdentity
from perflens.reports.events import COLUMNS, line, longest_part, owner_of, row, where
from perflens.reports.sheet import Sheet
from tests.unit.reports.answers import event, request


def test_line() -> None:
    """When, how long, what, who, whose, on what, and where most of the time went."""
    assert line(event()) == "2023-11-14T22:29:59.990Z  10.0ms file.read    db[100] a.service /data/table io=7.00ms"


def test_line_of_a_request() -> None:
    """A request has no file: its disk stands there."""
    assert line(request(end=10**12)) == "2023-11-14T22:29:59.992Z  8.00ms block.write  db[100] a.service sda held=5.00ms"


def test_line_of_what_is_in_progress() -> None:
    """It says that it has not ended."""
    assert line(event(in_progress=True)).endswith(" io=7.00ms (in progress)")


def test_line_is_one_line() -> None:
    """Names that others chose neither break the line nor move the cursor, and are cut."""
    hostile = event(
        process_name="a\nb\x1b[2J",
        file=FileIdentity("/\u202e" + "x" * 500, True, (8, 1), 1),
        unit="u\r",
        operation="read\t",
        blocked={"\x07": 9},
    )
    text = line(hostile)

    assert text.isprintable()
    assert "a\\x0ab\\x1b[2J[100]" in text
    assert len(text) < 600


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ({"blocked": {"io": 5, "lock": 6}, "runqueue": 1, "on_cpu": 1}, ("lock", 6)),
        ({"blocked": {}, "runqueue": 7, "on_cpu": 3}, ("runqueue", 7)),
        ({"blocked": {}, "runqueue": 0, "on_cpu": 3}, ("on_cpu", 3)),
        ({"blocked": {"io": 1}, "runqueue": 0, "on_cpu": 0, "unattributed": 2}, ("unattributed", 2)),
    ],
)
def test_longest_part(time: dict[str, object], expected: tuple[str, int]) -> None:
    """Of all parts of the duration, not of the waits alone."""
    assert longest_part(event(**time)) == expected


def test_owner() -> None:
    """An owner that has a name besides its unit is called by that."""
    plain = event()
    named = {**plain, "owner": {**plain["owner"], "name": "shop/Deployment/db"}}

    assert (owner_of(plain), owner_of(named)) == ("a.service", "shop/Deployment/db")
    assert " shop/Deployment/db " in line(named)
    assert row(named)[COLUMNS.index("unit")] == "shop/Deployment/db"


@pytest.mark.parametrize(
    ("path", "number", "devices", "expected"),
    [
        ("/a", (8, 1), ("sda",), "/a"),
        ("", (8, 1), ("sda", "sdb"), "sda,sdb"),
        ("", (8, 1), (), "8:1"),
        ("", (0, 0), (), "ext4"),
    ],
)
def test_where(path: str, number: tuple[int, int], devices: tuple[str, ...], expected: str) -> None:
    """The file, else the disk, else the device's number, else the file system."""
    assert where(event(file=FileIdentity(path, True, number, 1), devices=devices)) == expected


def test_row() -> None:
    """Each column has its value; times are exact."""
    assert dict(zip(COLUMNS, row(event(devices=("dm-0", "sda"))), strict=True)) == {
        "start_time": "2023-11-14T22:29:59.990000000Z",
        "id": "file-101-999990000000",
        "probe": "file",
        "operation": "read",
        "object": "ext4",
        "duration_seconds": "0.010000000",
        "result": 4096,
        "process_name": "db",
        "pid": 100,
        "comm": "worker",
        "tid": 101,
        "unit": "a.service",
        "container_id": "",
        "path": "/data/table",
        "device": "8:1",
        "disks": "dm-0 sda",
        "on_cpu_seconds": "0.001000000",
        "runqueue_seconds": "0.002000000",
        "unattributed_seconds": "0.000000000",
        "longest_part": "io",
        "longest_part_seconds": "0.007000000",
        "requests_seen": 0,
        "trace_id": "",
    }
    assert row(event(in_progress=True))[COLUMNS.index("result")] == ""
    assert row(event(result=-5))[COLUMNS.index("result")] == -5


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_table_holds_no_formula(start: str) -> None:
    """A spreadsheet calculates nothing, and a row is one row whatever a name holds."""
    out = io.StringIO()
    Sheet(out).write((f'{start}cmd|"x",\n1', -5))

    (found,) = csv.reader(io.StringIO(out.getvalue()))
    assert found == ["'" + f'{start}cmd|"x",\n1'.replace("\t", "\\x09").replace("\r", "\\x0d").replace("\n", "\\x0a"), "-5"]
