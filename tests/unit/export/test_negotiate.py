"""export/prometheus/negotiate.py: what the client prefers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import OPENMETRICS_1_0_0, PROTOBUF, TEXT_0_0_4, TEXT_1_0_0, accepts_gzip, content_type

OPENMETRICS = "application/openmetrics-text"
DELIMITED = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

PROMETHEUS_2 = f"{OPENMETRICS};version=1.0.0,{OPENMETRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_2_NATIVE = (
    f"{DELIMITED},{OPENMETRICS};version=1.0.0;q=0.8,{OPENMETRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_50 = f"{OPENMETRICS};version=1.0.0;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
PROMETHEUS_3 = (
    f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPENMETRICS};version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_NATIVE = (
    f"{DELIMITED};q=0.6,{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT_0_0_4),
        ("*/*", TEXT_0_0_4),
        ("text/*", TEXT_0_0_4),
        ("text/plain", TEXT_0_0_4),
        ("text/plain;version=0.0.4", TEXT_0_0_4),
        ("text/plain;version=1.0.0", TEXT_1_0_0),
        ("TEXT/Plain; VERSION=1.0.0", TEXT_1_0_0),
        ('text/plain;version="1.0.0"', TEXT_1_0_0),
        ("text/plain ; version = 1.0.0 ; q = 0.5", TEXT_1_0_0),
        ("text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3", TEXT_1_0_0),
        ("text/plain;version=0.0.4;q=0.3,text/plain;version=1.0.0;q=0.4", TEXT_1_0_0),
        ("text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.4", TEXT_0_0_4),
        ("text/plain;version=0.0.4,text/plain;version=1.0.0", TEXT_1_0_0),
        ("text/plain;version=1.0.0;q=0", TEXT_0_0_4),
        ("text/plain;version=1.0.0;q=0.001", TEXT_1_0_0),
        ("text/plain;version=1.0.0;q=nonsense", TEXT_0_0_4),
        ("text/plain;version=1.0.0;q=nan", TEXT_0_0_4),
        ("text/plain;version=1.0.0;q=-1", TEXT_0_0_4),
        ("text/plain;version=2.0.0", TEXT_0_0_4),
        ("text/plain;q=0,*/*", OPENMETRICS_1_0_0),
        ("text/plain;version=0.0.4;q=0,*/*;q=0.1", TEXT_1_0_0),
        ("application/json", TEXT_0_0_4),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", TEXT_0_0_4),
        ("application/*", OPENMETRICS_1_0_0),
        (OPENMETRICS, OPENMETRICS_1_0_0),
        (f"{OPENMETRICS};version=1.0.0", OPENMETRICS_1_0_0),
        (f"{OPENMETRICS};version=1.0.0;charset=utf-8", OPENMETRICS_1_0_0),
        (f"{OPENMETRICS};version=1.0.0;q=0", TEXT_0_0_4),
        (f"{OPENMETRICS};version=0.0.1", TEXT_0_0_4),
        (f"{OPENMETRICS};version=2.0.0", TEXT_0_0_4),
        (f"{OPENMETRICS};version=2.0.0;q=0.9,{OPENMETRICS};version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.7", OPENMETRICS_1_0_0),
        (f"text/plain;version=0.0.4;q=0.6,{OPENMETRICS};version=1.0.0;q=0.5", TEXT_0_0_4),
        (f"text/plain;version=0.0.4,{OPENMETRICS};version=1.0.0", OPENMETRICS_1_0_0),
        (f"{OPENMETRICS};version=1.0.0;q=0.5,*/*;q=0.5", OPENMETRICS_1_0_0),
        (f"{OPENMETRICS};version=1.0.0;q=0.5,*/*", TEXT_0_0_4),
        (DELIMITED, PROTOBUF),
        (f"{DELIMITED},{OPENMETRICS};version=1.0.0", PROTOBUF),
        (f"{DELIMITED};q=0.1,{OPENMETRICS};version=1.0.0;q=0.2", OPENMETRICS_1_0_0),
        (f"{DELIMITED};q=0,*/*", TEXT_0_0_4),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", TEXT_0_0_4),
        ("application/vnd.google.protobuf;proto=something.Else;encoding=delimited", TEXT_0_0_4),
        (PROMETHEUS_2, OPENMETRICS_1_0_0),
        (PROMETHEUS_2_NATIVE, PROTOBUF),
        (PROMETHEUS_2_50, OPENMETRICS_1_0_0),
        (PROMETHEUS_3, OPENMETRICS_1_0_0),
        (PROMETHEUS_3_NATIVE, PROTOBUF),
        (PROMETHEUS_3_TEXT, TEXT_1_0_0),
        (";;,,;=,q=1", TEXT_0_0_4),
    ],
)
def test_content_type(accept: str, expected: str) -> None:
    """The format with the highest q-value wins, of equals the one that is named; without one that we have, it is text 0.0.4."""
    assert content_type(accept) == expected


def test_every_format_has_a_writer() -> None:
    """What can be chosen can be written."""
    assert set(FORMATS) == {TEXT_0_0_4, TEXT_1_0_0, OPENMETRICS_1_0_0, PROTOBUF}


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, br", False),
        ("identity", False),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity;q=1", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip;q=nonsense", False),
        ("gzip;q=nan", False),
        ("identity;q=0, *", True),
        ("*;q=0", False),
        ("zgzip", False),
    ],
)
def test_accepts_gzip(accept_encoding: str, expected: bool) -> None:
    """gzip is used when it is acceptable and not less wanted than no encoding."""
    assert accepts_gzip(accept_encoding) is expected


FIELD = (
    st.text(max_size=60)
    | st.lists(st.sampled_from(PROMETHEUS_3_NATIVE.split(";")), max_size=9).map(";".join)
    | st.text('*/;,=q.019 "\ttexplainvrsogzid-+', max_size=80)
)


@settings(deadline=None, max_examples=200)
@given(FIELD)
def test_any_header(field: str) -> None:
    """No header is an error."""
    assert content_type(field) in FORMATS
    assert accepts_gzip(field) in (True, False)
