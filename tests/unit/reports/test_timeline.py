"""reports/timeline.py: seconds as lines and rows."""

from __future__ import annotations

from typing import Any

from perflens.reports.timeline import HEADER, columns, line, rows


def slow(count: int, ns: int, suppressed: int = 0) -> dict[str, Any]:
    return {"count": count, "duration_seconds": ns / 1e9, "duration_ns": ns, "suppressed": suppressed}


def second(at: int, forks: int, execs: int, *operations: tuple[str, str, int, int]) -> dict[str, Any]:
    listed = [{"probe": probe, "operation": operation, **slow(count, ns)} for probe, operation, count, ns in operations]
    whole = slow(sum(own[2] for own in operations), sum(own[3] for own in operations), 1 if operations else 0)
    return {"time_seconds": at, "slow": whole, "forks": forks, "execs": execs, "operations": listed}


FIRST = second(1_700_000_000, 3, 2, ("file", "write", 2, 500_000_000), ("block", "write", 1, 250_000_001))
SECOND = second(1_700_000_001, 0, 0)


def test_line() -> None:
    """The columns stand below their names."""
    assert [HEADER, line(FIRST), line(SECOND)] == [
        "time                   slow     for  forks  execs  operations",
        "2023-11-14T22:13:20Z      3   750ms      3      2  file.write=2 block.write=1",
        "2023-11-14T22:13:21Z      0     0ns      0      0",
    ]


def test_rows() -> None:
    """Each operation of any second has two columns, in every second."""
    assert [columns([FIRST, SECOND]), *rows([FIRST, SECOND])] == [
        (
            *("time", "slow", "slow_seconds", "suppressed", "forks", "execs"),
            *("block.write.count", "block.write.seconds", "file.write.count", "file.write.seconds"),
        ),
        ("2023-11-14T22:13:20Z", 3, "0.750000001", 1, 3, 2, 1, "0.250000001", 2, "0.500000000"),
        ("2023-11-14T22:13:21Z", 0, "0.000000000", 0, 0, 0, 0, "0.000000000", 0, "0.000000000"),
    ]
