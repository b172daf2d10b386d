"""aggregate/exemplars.py: the newest of each bucket, never an older one after it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.aggregate.exemplars import Exemplars
from perflens.model import Exemplar, SeriesKey

KEY = SeriesKey("read", "ext4", "a.service")
OTHER_KEY = SeriesKey("write", "ext4", "a.service")


def exemplar(value: int, timestamp: float, span: str = "b" * 16) -> Exemplar:
    return Exemplar("a" * 32, span, value, timestamp)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(0, 0), (953, 0), (954, 1), (1_907, 1), (1_908, 2), (10**9, 20), (10**9 + 1, 21), (4096 * 10**9, 32), (4096 * 10**9 + 1, 33)],
)
def test_bucket(value: int, bucket: int) -> None:
    """An exemplar belongs to the classic bucket whose inclusive bounds hold its value; above the last bound to one more."""
    own = Exemplars(10)
    own.put(KEY, exemplar(value, 1.0))

    assert own.of(KEY) == {bucket: exemplar(value, 1.0)}
    assert own.of(OTHER_KEY) == {}


def test_newer_replaces_older() -> None:
    """An older one never replaces a newer one, nor does one whose ms Prometheus could not tell from it."""
    own = Exemplars(10)
    for value, timestamp in ((900, 5.0), (800, 4.0), (700, 5.0), (600, 5.001)):
        own.put(KEY, exemplar(value, timestamp))
    assert own.of(KEY) == {0: exemplar(900, 5.0)}

    own.put(KEY, exemplar(500, 5.1))
    assert own.of(KEY) == {0: exemplar(500, 5.1)}


def test_what_was_read_does_not_change() -> None:
    """A reader holds what it got, whatever is put afterwards."""
    own = Exemplars(10)
    own.put(KEY, exemplar(1, 1.0))
    held = own.of(KEY)
    own.put(KEY, exemplar(2, 2.0))

    assert held == {0: exemplar(1, 1.0)}


def test_limit() -> None:
    """Beyond the limit new series get none, and that is counted; known ones still do."""
    own = Exemplars(1)
    own.put(KEY, exemplar(1, 1.0))
    own.put(OTHER_KEY, exemplar(1, 1.0))
    own.put(KEY, exemplar(10**9, 1.0))

    assert (len(own), own.dropped, sorted(own.of(KEY))) == (1, 1, [0, 20])


def test_prune() -> None:
    """Series that expired lose theirs; one that is to be made by the next harvest keeps them."""
    own = Exemplars(10)
    keys = [SeriesKey("read", "ext4", owner) for owner in ("living", "gone", "coming")]
    for key, timestamp in zip(keys, (1.0, 1.0, 9.0), strict=True):
        own.put(key, exemplar(1, timestamp))
    own.prune({keys[0]}, before=5.0)

    assert [len(own.of(key)) for key in keys] == [1, 0, 1]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2**44), st.floats(1.7e9, 1.8e9)), max_size=40))
def test_order(puts: list[tuple[int, float]]) -> None:
    """Whatever comes, the exemplars of a bucket only ever get newer, by more than Prometheus rounds."""
    own, last = Exemplars(10), dict[int, Exemplar]()
    for value, timestamp in puts:
        own.put(KEY, exemplar(value, timestamp))
        for bucket, now in own.of(KEY).items():
            before = last.get(bucket, now)
            assert now is before or int(float(f"{now.timestamp:.3f}") * 1000) > int(float(f"{before.timestamp:.3f}") * 1000)
        last = dict(own.of(KEY))


def test_two_threads() -> None:
    """One thread puts while another one reads and prunes; nothing that is read is half made."""
    own, ended = Exemplars(100), threading.Event()

    def put() -> None:
        for number in range(20_000):
            own.put(SeriesKey("read", "ext4", str(number % 50)), exemplar(number << number % 30, 1.0 + number))
        ended.set()

    writer = threading.Thread(target=put)
    writer.start()
    while not ended.is_set():
        for number in range(50):
            assert all(one.trace_id for one in own.of(SeriesKey("read", "ext4", str(number))).values())
        own.prune((), before=0.0)
    writer.join()

    assert len(own) == 50
