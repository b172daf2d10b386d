"""tests/bench/sizing.py: what it measures, and that docs/scaling.md has it."""

from __future__ import annotations

import pytest

from tests.bench.sizing import BEGIN, END, NODES, SCALING, Size, measured, table


@pytest.fixture(scope="module")
def one() -> Size:
    return measured(1)


@pytest.fixture(scope="module")
def ten() -> Size:
    return measured(10)


def test_series_of_a_container(one: Size, ten: Size) -> None:
    """Eleven histograms of 36 samples, and what is counted beside them: slow operations, waits, bytes, processes, overhead."""
    histograms, counters = 5 + 3 * 2, 2 * (3 + 2) + 3 * 3 + 2 + 3 + 1  # slow ones and waits have no `fs`
    assert ten.classic - one.classic == 9 * (36 * histograms + counters)
    assert ten.native - one.native == 9 * (histograms + counters)


def test_pages(one: Size, ten: Size) -> None:
    """A page grows with its containers in every form; text is the largest, and gzip makes each smaller."""
    for size in (one, ten):
        assert size.text > size.protobuf > size.protobuf_gzip
        assert size.text > size.text_gzip
    assert (ten.text > one.text, ten.protobuf > one.protobuf) == (True, True)


def test_the_page_is_up_to_date(ten: Size) -> None:
    """The counts of the table are those of now, but for the devices of the host; `make sizing` writes them."""
    written = SCALING.read_text().split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in written.splitlines() if line.startswith("|")]
    assert rows[0] == [cell.strip() for cell in table({}).splitlines()[0].strip("|").split("|")]
    assert [row[0] for row in rows[2:]] == [f"{containers:,}" for containers in NODES]
    classic, native = (int(rows[2][column].replace(",", "")) for column in (1, 3))
    assert (abs(classic - ten.classic), abs(native - ten.native)) < (100, 100)
    assert classic - native == ten.classic - ten.native
