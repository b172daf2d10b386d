"""enrich/kubernetes/wishes.py: which names that are missing are worth a request."""

from __future__ import annotations

from perflens.enrich.kubernetes.wishes import Wishes


def test_wishes() -> None:
    """A name wakes once before each answer, and no more after a few: others still do."""
    woken: list[int] = []
    own = Wishes(lambda: woken.append(1), tries=2)
    for expected in (1, 2, 2, 2):
        own.missed("u1", "")
        own.missed("u1", "")
        assert len(woken) == expected
        own.asked()
        own.answered()
    own.missed("u1", "container")
    own.missed("u2", "")
    assert len(woken) == 4


def test_requests_without_an_answer() -> None:
    """They use up no tries; what is wanted while one is made is still wanted after its answer."""
    woken: list[int] = []
    own = Wishes(lambda: woken.append(1), tries=2)
    for _ in range(5):
        own.missed("u1", "")
        own.asked()
    own.missed("u2", "")
    own.answered()
    own.missed("u2", "")
    assert len(woken) == 2
    own.missed("u1", "")
    assert len(woken) == 3
