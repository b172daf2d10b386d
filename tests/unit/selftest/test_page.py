"""selftest/page.py: samples read back."""

from __future__ import annotations

from decimal import Decimal

from perflens.selftest.page import Page

TEXT = """\
# HELP a_total Help.
# TYPE a_total counter
a_total{unit="x\\"\\\\y\\n",operation="read"} 3
a_total{unit="z",operation="read"} 4.000000001
a_total{unit="z",operation="write"} 1e3
a_total 7
b 2 1700000000
broken{unit="z"} many
not a sample at all
"""


def test_samples() -> None:
    """Sums over labels, label by label, with escapes taken back; numbers are exact."""
    page = Page(TEXT)

    assert page.total("a_total") == Decimal("1014.000000001")
    assert page.total("a_total", operation="read") == Decimal("7.000000001")
    assert page.total("a_total", unit='x"\\y\n') == 3
    assert page.by("unit", "a_total", operation="read") == {'x"\\y\n': 3, "z": Decimal("4.000000001")}
    assert page.values("operation", "a_total") == {"read", "write"}
    assert page.total("b") == 2
    assert page.has("b")
    assert not page.has("broken")
    assert page.total("nothing") == 0
