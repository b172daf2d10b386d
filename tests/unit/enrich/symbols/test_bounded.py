"""A dictionary that forgets."""

from __future__ import annotations

from perflens.enrich.symbols.bounded import Bounded


def test_forgets() -> None:
    """It never holds more than its size, and keeps what is in use."""
    kept = Bounded[int, str](10)
    for number in range(100):
        kept.put(number, str(number))
        assert kept.get(0) == "0"
        assert len(kept) <= 10

    assert kept.get(99) == "99"
    assert kept.get(50) is None


def test_drop() -> None:
    """A key is gone from both generations."""
    kept = Bounded[int, int](4)
    for number in range(4):
        kept.put(number, number)
    for number in range(4):
        kept.drop(number)
    assert len(kept) == 0
