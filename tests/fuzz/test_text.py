"""Text from outside, on its way in and out: no crash, and nothing that breaks the page."""

from __future__ import annotations

import os
from array import array

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from perflens.enrich.units import unit_of
from perflens.export.prometheus.families import Sample, counter_family
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.export.prometheus.text import TEXT, label_text
from perflens.kernel.features import mounts
from perflens.model import OCTAVES, Exemplar
from tests.unit.export.messages import families
from tests.unit.export.rows import row_of

EXEMPLARS = st.builds(
    Exemplar,
    st.from_regex("[0-9a-f]{32}", fullmatch=True),
    st.from_regex("[0-9a-f]{16}", fullmatch=True),
    st.integers(0, 2**60),
    st.floats(0, 4e9),
)
NAMES = st.lists(st.binary(min_size=1, max_size=30).map(lambda raw: raw.replace(b"\0", b"x").replace(b"/", b"x")), max_size=6)


@settings(deadline=None, max_examples=150)
@given(NAMES)
def test_hostile_owner(names: list[bytes]) -> None:
    """Cgroups of any bytes, as the kernel side's names are decoded, make one series that the official parser reads."""
    unit = unit_of([os.fsdecode(name) for name in names])
    page = b"".join(counter_family("m_total", "Help.", lambda: [Sample((("unit", unit),), 1)])(lambda name: True, TEXT))
    (found,) = text_string_to_metric_families(page.decode())

    assert [sample.labels for sample in found.samples] == [{"unit": unit}]


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40), st.text(st.characters(exclude_categories=())), st.floats() | st.integers(0, 2**64 - 1))
def test_hostile_labels(raw: bytes, text: str, value: float) -> None:
    """Labels of any bytes or text, and any value, in every format."""
    samples = [Sample((("a", os.fsdecode(raw)), ("b", text)), value)]
    for form in FORMATS.values():
        page = b"".join((*counter_family("m_total", text, lambda: samples)(lambda name: True, form), form.end))
        assert page.count(b"m_total") >= 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**50), min_size=OCTAVES, max_size=OCTAVES), st.dictionaries(st.integers(0, OCTAVES), EXEMPLARS))
def test_hostile_exemplars(octaves: list[int], exemplars: dict[int, Exemplar]) -> None:
    """Any exemplars, at any bucket, keep OpenMetrics and protobuf readable."""
    rows = array("Q", row_of(octaves, 5))
    text = b"".join(OPENMETRICS.family("m", "histogram", "Help.", [OPENMETRICS.histogram("m")((), 0.0)(rows, 0, exemplars)]))
    (found,) = openmetrics_families((text + OPENMETRICS.end).decode())  # type: ignore[no-untyped-call]
    (message,) = families(b"".join(PROTOBUF.family("m", "histogram", "Help.", [PROTOBUF.histogram("m")((), 0.0)(rows, 0, exemplars)])))
    shown = sum(bool(octaves[min(bucket, OCTAVES - 1)]) for bucket in exemplars)

    assert sum(sample.exemplar is not None for sample in found.samples) == shown
    assert len(message.metric[0].histogram.exemplars) == shown


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(exclude_categories=())))
def test_escape(value: str) -> None:
    """Any text is escaped to one line without a bare quote."""
    escaped = label_text((("a", value),)).removeprefix('a="').removesuffix('"')

    assert "\n" not in escaped
    assert '"' not in escaped.replace("\\\\", "").replace('\\"', "")


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=120))
def test_headers(raw: bytes) -> None:
    """Any bytes in a header, as the HTTP server decodes them, choose one of the formats."""
    field = raw.decode("utf-8", "surrogateescape")

    assert content_type(field) in FORMATS
    assert accepts_gzip(field) in (True, False)


@settings(deadline=None, max_examples=150)
@given(st.text(st.sampled_from(" -/\\0123456789abc,\n\t:"), max_size=120))
def test_mountinfo(text: str) -> None:
    """Any lines are read or left out."""
    assert all(mount.fstype is not None for mount in mounts(text))
    assert len(mounts(text)) <= text.count(os.linesep) + 1
