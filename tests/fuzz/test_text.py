"""Text from outside, on its way in and out: no crash, and nothing that breaks the page."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from perflens.enrich.units import unit_of
from perflens.export.prometheus.families import Sample, counter_family
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.text import TEXT, label_text
from perflens.kernel.features import mounts

NAMES = st.lists(st.binary(min_size=1, max_size=30).map(lambda raw: raw.replace(b"\0", b"x").replace(b"/", b"x")), max_size=6)


@settings(deadline=None, max_examples=150)
@given(NAMES)
def test_hostile_owner(names: list[bytes]) -> None:
    """Cgroups of any bytes, as the kernel side's names are decoded, make one series that the official parser reads."""
    unit = unit_of([os.fsdecode(name) for name in names])
    page = b"".join(counter_family("m_total", "Help.", lambda: [Sample((("unit", unit),), 1)])(lambda name: True, TEXT))
    (found,) = text_string_to_metric_families(page.decode())

    assert [sample.labels for sample in found.samples] == [{"unit": unit}]


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
