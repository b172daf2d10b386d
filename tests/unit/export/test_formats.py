"""The whole page in every format."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from math import isnan

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from perflens.export.prometheus.families import Sample, counter_family, gauge_family
from perflens.export.prometheus.form import Format, Wanted
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.page import Collector, Page, Query
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.export.prometheus.text import TEXT
from perflens.selfmetrics import SelfMetrics
from tests.unit.export.messages import families, labels
from tests.unit.test_selfmetrics import STATUS

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def broken(wanted: Wanted, form: Format) -> Iterator[bytes]:
    yield from form.family("perflens_half", "gauge", "Help.", ())
    raise RuntimeError("no")


COLLECTORS = (
    Collector("a", gauge_family("perflens_a_seconds", "Help.", lambda: [Sample((("unit", "x"),), 2)])),
    Collector("broken", broken),
    Collector("b", counter_family("perflens_b_total", "Help.", lambda: [Sample((), 1)])),
    Collector("self", SelfMetrics(lambda: STATUS).render),
)


def page(query: Query) -> bytes | bytearray:
    return Page(COLLECTORS, lambda: None).render(query)


def text_samples(body: bytes | bytearray) -> Samples:
    return _samples(text_families(body.decode()))


def openmetrics_samples(body: bytes | bytearray) -> Samples:
    return _samples(openmetrics_families(body.decode()))  # type: ignore[no-untyped-call]


def _samples(found: Iterable[Metric]) -> Samples:
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in found for sample in family.samples}


def protobuf_samples(body: bytes | bytearray) -> Samples:
    kinds = {0: "counter", 1: "gauge"}
    return {
        (family.name, tuple(sorted(labels(own).items()))): getattr(own, kinds[family.type]).value
        for family in families(body)
        for own in family.metric
    }


READERS: dict[Format, Callable[[bytes | bytearray], Samples]] = {
    TEXT: text_samples,
    OPENMETRICS: openmetrics_samples,
    PROTOBUF: protobuf_samples,
}
EVERY = pytest.mark.parametrize("form", READERS, ids=lambda form: type(form).__name__)


@EVERY
def test_every_format_says_the_same(form: Format) -> None:
    """The same samples with the same labels are on the page, that of the agent itself included, whatever the format."""
    plain, found = text_samples(page(Query())), READERS[form](page(Query(form=form)))

    assert found.keys() == plain.keys()
    assert len(found) > 40
    moving = re.compile("process_|python_gc|collector_duration")
    assert {key: value for key, value in found.items() if not moving.match(key[0].removeprefix("perflens_scrape_"))} == {
        key: value for key, value in plain.items() if not moving.match(key[0].removeprefix("perflens_scrape_"))
    }
    assert not any(isnan(value) for value in found.values())


@EVERY
@pytest.mark.parametrize(
    "query",
    [
        Query(names=frozenset({"perflens_b", "perflens_owners", "perflens_probe_missed_total"})),
        Query(collectors=frozenset({"b"})),
        Query(names=frozenset({"nothing"})),
    ],
)
def test_filters(form: Format, query: Query) -> None:
    """A filtered page is whole in each format: the same families, compressed or not."""
    own = Query(query.names, query.collectors, form=form)
    names = {name for name, _ in READERS[form](page(own))}

    assert names == {name for name, _ in text_samples(page(query))}
    compressed = gzip.decompress(page(Query(query.names, query.collectors, gzip=True, form=form)))
    assert {name for name, _ in READERS[form](compressed)} == names


@EVERY
def test_no_family_twice(form: Format) -> None:
    """Each family is in one piece."""
    body = page(Query(form=form))
    names = [own.name for own in families(body)] if form is PROTOBUF else re.findall(r"^# TYPE (\S+)", body.decode(), re.MULTILINE)

    assert len(names) == len(set(names)) > 20
    assert {"perflens_half", "perflens_scrape_collector_success"} <= set(names)


def test_end_of_openmetrics() -> None:
    """The end is the last line and stands there once, though a collector failed and prometheus_client has an end of its own."""
    lines = page(Query(form=OPENMETRICS)).decode().splitlines()

    assert lines[-1] == "# EOF"
    assert lines.count("# EOF") == 1
    assert 'perflens_scrape_collector_success{collector="broken"} 0' in lines
    assert not any("_created" in line for line in lines)
