"""export/prometheus/page.py: collectors, filters, failures, compression."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perflens.export.prometheus.families import Sample, counter_family, gauge_family
from perflens.export.prometheus.form import Format, Wanted
from perflens.export.prometheus.page import Collector, Page, Query, UnknownCollector

OWN = ["perflens_scrape_collector_duration_seconds", "perflens_scrape_collector_success"]
NAMES = ("perflens_a_seconds", "perflens_b_total")


def one() -> list[Sample]:
    return [Sample((), 1)]


def broken(wanted: Wanted, form: Format) -> Iterator[bytes]:
    yield b"perflens_half 1\n"
    raise RuntimeError("no")


A = Collector("a", gauge_family("perflens_a_seconds", "Help.", one))
B = Collector("b", counter_family("perflens_b_total", "Help.", one))


def page(*collectors: Collector) -> Page:
    return Page(collectors or (A, B), lambda: None)


def families(body: bytes | bytearray) -> list[str]:
    return re.findall(r"^# TYPE (\S+)", body.decode(), re.MULTILINE)


def test_whole_page() -> None:
    """Every collector's families come in order, then how the collectors did."""
    body = page().render(Query())

    assert families(body) == [*NAMES, *OWN]
    assert b'perflens_scrape_collector_success{collector="a"} 1\n' in body
    assert re.search(rb'^perflens_scrape_collector_duration_seconds\{collector="b"\} 0\.\d{9}$', body, re.MULTILINE)
    assert list(text_string_to_metric_families(body.decode()))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"perflens_a_seconds"}, ["perflens_a_seconds"]),
        ({"perflens_b_total"}, ["perflens_b_total"]),
        ({"perflens_b"}, ["perflens_b_total"]),
        ({"perflens_a_seconds", "perflens_b_total"}, list(NAMES)),
        ({"perflens_scrape_collector_success"}, OWN[1:]),
        ({"nothing"}, []),
        ({""}, []),
    ],
)
def test_filter_by_name(names: set[str], expected: list[str]) -> None:
    """Only the families that are named are rendered."""
    assert families(page().render(Query(names=frozenset(names)))) == expected


@pytest.mark.parametrize("suffix", ["", "_bucket", "_count", "_sum"])
def test_filter_by_the_name_of_a_sample(suffix: str) -> None:
    """A histogram can be named by any of its samples."""
    assert Query(names=frozenset({f"perflens_x_seconds{suffix}"})).wants("perflens_x_seconds")


def test_filter_does_not_match_parts_of_names() -> None:
    """A name that only begins like a family does not ask for it."""
    query = Query(names=frozenset({"perflens_x_seconds_max", "perflens_x", "x_seconds"}))

    assert not query.wants("perflens_x_seconds")


def test_filter_by_collector() -> None:
    """Only the collectors that are named run."""
    body = page().render(Query(collectors=frozenset({"b"})))

    assert families(body) == ["perflens_b_total", *OWN]
    assert b'collector="a"' not in body


def test_collectors_that_are_not_named_are_not_asked() -> None:
    """A collector that is filtered out does no work."""
    body = page(A, Collector("broken", broken)).render(Query(collectors=frozenset({"a"})))

    assert b"perflens_half" not in body


def test_unknown_collector() -> None:
    """A collector that does not exist is refused, by check and by render, with those that do."""
    query = Query(collectors=frozenset({"z", "y", "a"}))
    for ask in (page().check, page().render):
        with pytest.raises(UnknownCollector, match=r"^unknown collector y, z; there are a, b$"):
            ask(query)


def test_failing_collector(caplog: pytest.LogCaptureFixture) -> None:
    """A collector that fails is reported, logged, and keeps no other from the page."""
    with caplog.at_level(logging.ERROR):
        body = page(A, Collector("broken", broken), B).render(Query())

    assert families(body) == [*NAMES, *OWN]
    assert re.findall(rb'success\{collector="(\w+)"\} (\d)', body) == [(b"a", b"1"), (b"broken", b"0"), (b"b", b"1")]
    assert [record.message for record in caplog.records] == ["a collector failed"]
    assert list(text_string_to_metric_families(body.decode()))


def test_pieces() -> None:
    """A large page comes in pieces of a size that the C library maps on its own, and is the same page."""
    many = Collector("many", gauge_family("perflens_many", "Help.", lambda: (Sample((("n", str(n)),), n) for n in range(30_000))))
    query = Query(collectors=frozenset({"many"}), names=frozenset({"perflens_many"}))
    pieces = page(many).pieces(query)

    assert b"".join(pieces).count(b"\nperflens_many{") == 30_000
    assert b"".join(pieces) == page(many).render(query)
    assert len(pieces) > 3
    assert all(1 << 18 <= len(piece) < 1 << 19 for piece in pieces[:-1])


def test_gzip() -> None:
    """The compressed page is the same page, and the same bytes each time when the numbers are."""
    query = Query(names=frozenset(NAMES))
    body = page().render(Query(names=query.names, gzip=True))

    assert gzip.decompress(body) == page().render(query)
    assert body == page().render(Query(names=query.names, gzip=True))


def test_harvest_comes_first_and_once() -> None:
    """The numbers are brought up to date once for each rendering, before any collector."""
    order = []

    def render(wanted: Wanted, form: Format) -> Iterator[bytes]:
        order.append("render")
        yield b""

    own = Page((Collector("x", render), Collector("y", render)), lambda: order.append("harvest"))
    own.render(Query())
    own.render(Query(gzip=True))

    assert order == ["harvest", "render", "render"] * 2


def test_no_harvest_for_a_bad_query() -> None:
    """A query that is refused costs no harvest."""
    harvests = list[int]()
    own = Page((A,), lambda: harvests.append(1))
    with pytest.raises(UnknownCollector):
        own.render(Query(collectors=frozenset({"z"})))

    assert harvests == []


def test_page_without_collectors() -> None:
    """An agent without a probe still has a page."""
    assert families(Page((), lambda: None).render(Query())) == OWN
