"""export/prometheus/text.py: the text format."""

from __future__ import annotations

import re
from array import array
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from perflens.export.prometheus.form import Kind, Labels
from perflens.export.prometheus.text import TEXT, label_text
from perflens.model import OCTAVES, octave_bounds
from tests.unit.export.rows import row_of

ANY_LABEL = st.text()


def value_text(value: float, *, nanoseconds: bool = False) -> str:
    return TEXT.sample("m", "gauge", nanoseconds=nanoseconds)((), 0.0)(value).decode().removeprefix("m{} ").removesuffix("\n")


def family(name: str, kind: Kind, *series: tuple[Labels, int]) -> bytes:
    bind = TEXT.sample(name, kind)
    return b"".join(TEXT.family(name, kind, "Help.", (bind(labels, 0.0)(value) for labels, value in series)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ('a"b', 'a\\"b'),
        ("a\\b", "a\\\\b"),
        ("a\nb", "a\\nb"),
        ("\\n", "\\\\n"),
        ("a\0b", "ab"),
        ("größe…", "größe…"),
        ("a\tb\rc", "a\tb\rc"),
    ],
)
def test_escape(value: str, expected: str) -> None:
    """Backslash, quote and newline are escaped, NUL is dropped, all else stands as it is."""
    assert label_text((("a", value),)) == f'a="{expected}"'


def test_labels() -> None:
    """Labels keep their order; one without a name is left out, one without a value is not."""
    assert label_text((("a", "1"), ("", "x"), ("b", ""))) == 'a="1",b=""'
    assert label_text(()) == ""


def test_header() -> None:
    """Backslash and newline of a help text are escaped, quotes are not."""
    assert b"".join(TEXT.family("m_total", "counter", 'a\\b\n"c"', ())) == b'# HELP m_total a\\\\b\\n"c"\n# TYPE m_total counter\n'


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (999_999_999, "0.999999999"),
        (10**9, "1.000000000"),
        (2**64 - 1, "18446744073.709551615"),
    ],
)
def test_seconds(ns: int, expected: str) -> None:
    """ns become seconds without losing a digit."""
    assert value_text(ns, nanoseconds=True) == expected


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_seconds_are_exact(ns: int) -> None:
    """Read as a decimal number, the text is the ns again."""
    assert Decimal(value_text(ns, nanoseconds=True)) * 10**9 == ns


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (2**64 - 1, "18446744073709551615"),
        (True, "1"),
        (-3, "-3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    """Whole numbers keep all digits, others those that tell them apart; what is no number has its name."""
    assert value_text(value) == expected


GOLDEN = """\
m_bucket{a="1",le="9.5367431640625e-07"} 1
m_bucket{a="1",le="1.9073486328125e-06"} 3
m_bucket{a="1",le="3.814697265625e-06"} 3
m_bucket{a="1",le="7.62939453125e-06"} 3
m_bucket{a="1",le="1.52587890625e-05"} 3
m_bucket{a="1",le="3.0517578125e-05"} 3
m_bucket{a="1",le="6.103515625e-05"} 3
m_bucket{a="1",le="0.0001220703125"} 3
m_bucket{a="1",le="0.000244140625"} 3
m_bucket{a="1",le="0.00048828125"} 3
m_bucket{a="1",le="0.0009765625"} 3
m_bucket{a="1",le="0.001953125"} 3
m_bucket{a="1",le="0.00390625"} 3
m_bucket{a="1",le="0.0078125"} 3
m_bucket{a="1",le="0.015625"} 3
m_bucket{a="1",le="0.03125"} 3
m_bucket{a="1",le="0.0625"} 3
m_bucket{a="1",le="0.125"} 3
m_bucket{a="1",le="0.25"} 3
m_bucket{a="1",le="0.5"} 3
m_bucket{a="1",le="1.0"} 8
m_bucket{a="1",le="2.0"} 8
m_bucket{a="1",le="4.0"} 8
m_bucket{a="1",le="8.0"} 8
m_bucket{a="1",le="16.0"} 8
m_bucket{a="1",le="32.0"} 8
m_bucket{a="1",le="64.0"} 8
m_bucket{a="1",le="128.0"} 8
m_bucket{a="1",le="256.0"} 8
m_bucket{a="1",le="512.0"} 8
m_bucket{a="1",le="1024.0"} 8
m_bucket{a="1",le="2048.0"} 8
m_bucket{a="1",le="4096.0"} 15
m_bucket{a="1",le="+Inf"} 15
m_sum{a="1"} 12.000000345
m_count{a="1"} 15
"""


GOLDEN_ZERO = (
    re.sub(r" [0-9.]+$", " 0", GOLDEN, flags=re.MULTILINE)
    .replace('a="1"', 'a="VALUE"')
    .replace('_sum{a="VALUE"} 0', '_sum{a="VALUE"} 0.000000000')
)


def histogram(labels: Labels, counts: list[int], total: int) -> str:
    rows = array("Q", [7, 7, *row_of(counts, total)])
    return TEXT.histogram("m")(labels, 0.0)(rows, 2, {}).decode()


def octaves(**counts: int) -> list[int]:
    found = [0] * OCTAVES
    for index, count in counts.items():
        found[int(index[1:])] = count
    return found


def test_histogram() -> None:
    """Buckets are cumulative, the last one is all, the sum is exact."""
    assert histogram((("a", "1"),), octaves(_0=1, _1=2, _20=5, _32=7), 12_000_000_345) == GOLDEN


@pytest.mark.parametrize("value", ["%", "%d", "%%", "100%s", "%(a)s", "{}", "\\1"])
def test_label_that_looks_like_a_template(value: str) -> None:
    """Signs that mean something to a template are plain text in a label."""
    own = (("a", value),)

    assert histogram(own, [0] * OCTAVES, 0) == GOLDEN_ZERO.replace('a="VALUE"', label_text(own))


def test_family() -> None:
    """A family is its headers and one line a series."""
    assert family("m_total", "counter", ((("a", "1"),), 5), ((("a", "2"),), 6)) == (
        b'# HELP m_total Help.\n# TYPE m_total counter\nm_total{a="1"} 5\nm_total{a="2"} 6\n'
    )


@settings(deadline=None, max_examples=60)
@given(ANY_LABEL, ANY_LABEL, st.lists(st.integers(0, 2**48), min_size=OCTAVES, max_size=OCTAVES), st.integers(0, 2**50))
def test_round_trip(first: str, second: str, counts: list[int], total: int) -> None:
    """The official parser reads back every label, bucket, count and sum, whatever is in the labels."""
    series = histogram((("a", first), ("b", second)), counts, total)
    (found,) = text_string_to_metric_families(b"".join(TEXT.family("m", "histogram", "Help.", [series.encode()])).decode())
    own = {"a": first.replace("\0", ""), "b": second.replace("\0", "")}
    buckets = [sample for sample in found.samples if sample.name == "m_bucket"]

    assert found.type == "histogram"
    assert all({key: value for key, value in sample.labels.items() if key != "le"} == own for sample in found.samples)
    assert [float(sample.labels["le"]) for sample in buckets] == [*octave_bounds(), float("inf")]
    assert [sample.value for sample in buckets] == [*(sum(counts[: index + 1]) for index in range(OCTAVES)), sum(counts)]
    assert {sample.name: sample.value for sample in found.samples if sample.name != "m_bucket"} == {
        "m_sum": float(Decimal(total) / 10**9),
        "m_count": sum(counts),
    }


@settings(deadline=None, max_examples=60)
@given(st.lists(ANY_LABEL, max_size=6))
def test_one_line_a_sample(values: list[str]) -> None:
    """No label value can begin a line of its own."""
    lines = family("m_total", "counter", *(((("a", value),), 1) for value in values)).decode().split("\n")

    assert len(lines) == 2 + len(values) + 1
    assert all(line.startswith('m_total{a="') for line in lines[2:-1])
