"""kernel/_native: the three loops over shared memory."""

from __future__ import annotations

import struct
import sys
import threading
from array import array
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.kernel import _native

BUCKETS = 129
ROW = 2 + BUCKETS + 33
CELL, BUCKET_AT, SUM_AT, SLOW_AT, SLOW_SUM_AT, WAIT_AT = 576, 20, 0, 16, 8, 536
WAITS = 3
SLOW = 2 + WAITS
KEY, STATE_AT = 24, 20
SHARDS = 2
LAYOUT = (CELL, BUCKET_AT, BUCKETS, SUM_AT, SLOW_AT, SLOW_SUM_AT, WAIT_AT, WAITS, SHARDS, KEY, STATE_AT)
FREE, LIVE, DEAD = 0, 1, 2
NAMES = ("cell", "bucket", "buckets", "sum", "slow", "slow_sum", "wait", "waits", "shards", "key", "state")

SLOT_LAYOUT = (64, 0, 16, 8)

PAGE = 4096
BUSY, DISCARD = 1 << 31, 1 << 30


class Cells:
    """Cells, keys, bindings and rows of ``capacity`` cells."""

    def __init__(self, capacity: int, rows: int = 4) -> None:
        self.cells, self.keys = bytearray(CELL * SHARDS * capacity), bytearray(KEY * capacity)
        self.bindings = array("i", [-1]) * (2 * capacity)
        self.rows, self.slow = array("Q", bytes(8 * ROW * rows)), array("Q", bytes(8 * SLOW * rows))

    def bind(self, cell: int, row: int, slow: int | None = None, state: int = LIVE) -> None:
        struct.pack_into("<I", self.keys, KEY * cell + STATE_AT, state)
        self.bindings[2 * cell], self.bindings[2 * cell + 1] = row, row if slow is None else slow

    def add(self, cell: int, shard: int, buckets: dict[int, int], total: int = 0, slow: int = 0, slow_total: int = 0) -> None:
        at = (cell * SHARDS + shard) * CELL
        for bucket, count in buckets.items():
            struct.pack_into("<I", self.cells, at + BUCKET_AT + 4 * bucket, count)
        struct.pack_into("<QQI", self.cells, at, total, slow_total, slow)

    def wait(self, cell: int, shard: int, *ns: int) -> None:
        struct.pack_into(f"<{WAITS}Q", self.cells, (cell * SHARDS + shard) * CELL + WAIT_AT, *ns)

    def harvest(self, layout: tuple[int, int, int, int, int, int, int, int, int, int, int] = LAYOUT) -> list[int]:
        return _native.harvest(self.cells, self.keys, self.bindings, self.rows, self.slow, layout)

    def row(self, row: int) -> list[int]:
        return self.rows[row * ROW : (row + 1) * ROW].tolist()

    def slow_row(self, row: int) -> list[int]:
        return self.slow[row * SLOW : (row + 1) * SLOW].tolist()


def expected_row(buckets: dict[int, int], total: int) -> list[int]:
    row = [sum(buckets.values()), total, *[0] * (BUCKETS + 33)]
    for bucket, count in buckets.items():
        row[2 + bucket] += count
        row[2 + BUCKETS + (bucket + 3) // 4] += count
    return row


def test_harvest_moves_every_count() -> None:
    """Buckets, sums and slow operations of both shards land in the bound rows, and the cells are zero afterwards."""
    own = Cells(3)
    own.bind(1, row=2, slow=3)
    own.add(1, 0, {0: 3, 1: 5, 4: 7, 5: 11, 128: 13}, total=1000, slow=2, slow_total=900)
    own.add(1, 1, {4: 17}, total=2**40, slow=1, slow_total=2**39)

    assert own.harvest() == []
    assert own.row(2) == expected_row({0: 3, 1: 5, 4: 24, 5: 11, 128: 13}, 1000 + 2**40)
    assert own.slow_row(3) == [3, 900 + 2**39, 0, 0, 0]
    assert own.cells == bytes(len(own.cells))
    assert own.row(0) == own.row(1) == own.row(3) == [0] * ROW


def test_waits_follow_the_slow_operations() -> None:
    """Time off the CPU of all shards and of all cells of a slow row lands behind its count and sum, reason by reason."""
    own = Cells(3)
    for cell, slow in ((0, 2), (1, 2), (2, 3)):
        own.bind(cell, row=cell, slow=slow)
    own.wait(0, 0, 1, 20, 300)
    own.wait(0, 1, 4_000, 0, 2**63)
    own.wait(1, 1, 5, 0, 2**63 - 1)
    own.wait(2, 0, 0, 0, 7)
    own.add(0, 0, {0: 1}, total=9, slow=1, slow_total=9)

    assert own.harvest() == []
    assert [own.slow_row(row) for row in range(4)] == [[0] * SLOW, [0] * SLOW, [1, 9, 4_006, 20, 299], [0, 0, 0, 0, 7]]
    assert own.cells == bytes(len(own.cells))


def test_cells_without_waits() -> None:
    """Of a layout without waits the slow rows are count and sum alone, and what lies where waits would be is not touched."""
    own = Cells(2)
    own.bind(0, row=0, slow=3)
    own.add(0, 0, {0: 1}, total=9, slow=2, slow_total=8)
    own.wait(0, 0, 1, 2, 3)
    layout = list(LAYOUT)
    layout[NAMES.index("waits")] = 0
    own.harvest((*layout,))  # type: ignore[arg-type]

    assert own.slow.tolist() == [0] * 6 + [2, 8] + [0] * 12
    assert struct.unpack_from("<3Q", own.cells, WAIT_AT) == (1, 2, 3)


def test_second_harvest_adds_nothing() -> None:
    """What was taken is not taken again."""
    own = Cells(1)
    own.bind(0, row=0)
    own.add(0, 0, {9: 23}, total=5)
    own.harvest()
    own.harvest()

    assert own.row(0) == expected_row({9: 23}, 5)


def test_two_cells_of_one_row() -> None:
    """Cells that are bound to the same series are added up."""
    own = Cells(2)
    own.bind(0, row=1)
    own.bind(1, row=1)
    own.add(0, 0, {1: 2}, total=10)
    own.add(1, 1, {1: 3}, total=20)
    own.harvest()

    assert own.row(1) == expected_row({1: 5}, 30)


def test_full_words() -> None:
    """The largest 32-bit and 64-bit values are moved whole; sums wrap as unsigned numbers do."""
    own = Cells(1)
    own.bind(0, row=0)
    own.add(0, 0, {0: 2**32 - 1}, total=2**64 - 1, slow=2**32 - 1, slow_total=2**64 - 1)
    own.add(0, 1, {0: 2**32 - 1}, total=2)
    own.harvest()

    assert own.row(0) == expected_row({0: 2 * (2**32 - 1)}, 1)
    assert own.slow_row(0) == [2**32 - 1, 2**64 - 1, 0, 0, 0]


@pytest.mark.parametrize("state", [LIVE, DEAD])
def test_cells_in_use_without_a_row_are_listed(state: int) -> None:
    """A cell in use that is bound to nothing keeps its counts and is named."""
    own = Cells(4)
    own.bind(1, row=-1, state=state)
    own.bind(2, row=0)
    own.bind(3, row=-1, state=state)
    own.add(3, 0, {1: 1}, total=7)

    assert own.harvest() == [1, 3]
    own.bind(3, row=1, state=state)
    assert own.harvest() == [1]
    assert own.row(1) == expected_row({1: 1}, 7)


def test_free_cells_are_not_looked_at() -> None:
    """A free cell keeps what is in it, bound or not."""
    own = Cells(2)
    own.bind(0, row=0, state=FREE)
    own.add(0, 0, {1: 1}, total=7)

    assert own.harvest() == []
    assert own.row(0) == [0] * ROW
    assert any(own.cells)


@pytest.mark.parametrize(("row", "slow"), [(4, 0), (0, 4), (0, -1), (2**31 - 1, 0), (0, 2**31 - 1)])
def test_row_out_of_range(row: int, slow: int) -> None:
    """A binding to a row that does not exist is refused."""
    own = Cells(1)
    own.bind(0, row, slow)
    with pytest.raises(IndexError, match="a row that does not exist"):
        own.harvest()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", 0),
        ("cell", -1),
        ("key", 0),
        ("key", -24),
        ("shards", 0),
        ("shards", -2),
        ("buckets", 0),
        ("buckets", -1),
        ("buckets", 140),
        ("bucket", CELL - 4 * BUCKETS + 4),
        ("bucket", -4),
        ("sum", CELL - 4),
        ("sum", CELL),
        ("sum", -8),
        ("slow", CELL),
        ("slow", -4),
        ("slow_sum", CELL - 4),
        ("slow_sum", -8),
        ("wait", CELL - 8 * WAITS + 1),
        ("wait", -8),
        ("waits", -1),
        ("waits", 6),
        ("waits", 2**61),
        ("state", KEY),
        ("state", -4),
    ],
)
def test_layout_that_is_not_sound(name: str, value: int) -> None:
    """A layout whose members do not fit into the struct is refused before anything is read."""
    own = Cells(1)
    own.bind(0, row=0)
    layout = list(LAYOUT)
    layout[NAMES.index(name)] = value
    with pytest.raises(ValueError, match="the layout of a cell is not sound"):
        own.harvest((*layout,))  # type: ignore[arg-type]


def test_tables_that_do_not_fit() -> None:
    """Cells or bindings that are shorter than the keys are refused."""
    for shorten in ("cells", "bindings"):
        own = Cells(2)
        setattr(own, shorten, getattr(own, shorten)[:-1])
        with pytest.raises(ValueError, match="shorter than the keys"):
            own.harvest()


def test_read_only_memory_is_refused() -> None:
    """Cells that cannot be written cannot be harvested."""
    own = Cells(1)
    with pytest.raises(BufferError):
        _native.harvest(bytes(own.cells), own.keys, own.bindings, own.rows, own.slow, LAYOUT)  # type: ignore[arg-type]


def test_buffers_are_released() -> None:
    """After a harvest, and after a refused one, the tables can grow again."""
    own = Cells(1)
    own.bind(0, row=0)
    own.harvest()
    own.rows.extend([0] * ROW)
    own.bind(0, row=99)
    with pytest.raises(IndexError):
        own.harvest()
    own.rows.extend([0] * ROW)
    own.cells.extend(b"\0")


counts = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**32 - 1), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), counts, st.integers(0, 2**50)), max_size=8))
def test_nothing_is_lost(batches: list[tuple[int, int, dict[int, int], int]]) -> None:
    """Whatever is added between harvests, rows hold the sum of it all."""
    own = Cells(3)
    for cell in range(3):
        own.bind(cell, row=cell)
    buckets: list[dict[int, int]] = [{}, {}, {}]
    totals = [0, 0, 0]
    for cell, shard, added, total in batches:
        own.add(cell, shard, added, total)
        own.harvest()
        totals[cell] += total
        for bucket, count in added.items():
            buckets[cell][bucket] = buckets[cell].get(bucket, 0) + count

    assert [own.row(row) for row in range(3)] == [expected_row(buckets[row], totals[row]) for row in range(3)]


def test_two_harvests_at_once_count_everything_once() -> None:
    """Two threads that harvest the same cells by exchange never count a word twice, and together lose none.

    The words are larger than any table of counters, so that both threads work on the cells at the same time.
    """
    capacity, rounds = 2_000, 30
    one, two = Cells(capacity), Cells(capacity)
    two.cells, two.keys = one.cells, one.keys
    for cell in range(capacity):
        one.bind(cell, row=0)
        two.bind(cell, row=0)
    pattern = bytearray(one.cells)
    for index in range(capacity * SHARDS):
        struct.pack_into("<QQI", pattern, index * CELL, 5, 3, 2)
        struct.pack_into("<II", pattern, index * CELL + BUCKET_AT, 1, 1)
    start, end = threading.Barrier(2), threading.Barrier(2)

    def other() -> None:
        for _ in range(rounds):
            start.wait()
            two.harvest()
            end.wait()

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(rounds):
        one.cells[:] = pattern
        start.wait()
        one.harvest()
        end.wait()
    thread.join()
    everything = rounds * capacity * SHARDS

    assert one.row(0)[0] + two.row(0)[0] == 2 * everything
    assert one.row(0)[1] + two.row(0)[1] == 5 * everything
    assert one.slow[0] + two.slow[0] == 2 * everything
    assert one.slow[1] + two.slow[1] == 3 * everything


def test_writer_during_harvests_loses_nothing() -> None:
    """A word that a writer fills whenever it is found empty is taken exactly as often as it was filled."""
    own = Cells(1)
    own.bind(0, row=0)
    word = memoryview(own.cells)[BUCKET_AT + 4 * 7 : BUCKET_AT + 4 * 8].cast("I")
    filled, stop = [0], threading.Event()

    def write() -> None:
        while not stop.is_set():
            if not word[0]:  # the harvest only ever makes it 0, so nothing is overwritten
                filled[0] += 3
                word[0] = 3

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # else a harvest waits 5 ms for the writer, each time
    thread = threading.Thread(target=write)
    try:
        thread.start()
        while filled[0] < 3 * 500:
            own.harvest()
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    own.harvest()

    assert own.row(0) == expected_row({7: filled[0]}, 0)
    word.release()


def slots(entries: Iterable[tuple[int, int]], begun: int = 0) -> bytearray:
    return bytearray(b"".join(struct.pack("<QQI44x", start, begun, tid) for start, tid in entries))


def test_scan() -> None:
    """Operations in flight are counted, and those from before a time are listed with their place."""
    memory = slots([(0, 5), (300, 6), (100, 7), (200, 2**32 - 1), (0, 0)])

    assert _native.scan(memory, SLOT_LAYOUT, 201) == (3, 0, 0, [(128, 100, 7), (192, 200, 2**32 - 1)])
    assert _native.scan(memory, SLOT_LAYOUT, 0) == (3, 0, 0, [])
    assert _native.scan(memory, SLOT_LAYOUT, 100) == (3, 0, 0, [])


def test_scan_sums_what_has_begun() -> None:
    """Every slot tells how many operations it has begun, whether one is in flight or not; the sum wraps as unsigned numbers do."""
    memory = slots([(0, 5)], 7) + slots([(300, 6)], 2**40) + slots([(0, 0)]) + slots([(1, 2)], 11)

    assert _native.scan(memory, SLOT_LAYOUT, 0) == (2, 18 + 2**40, 0, [])
    assert _native.scan(slots([(0, 1)] * 2, 2**63), SLOT_LAYOUT, 0) == (0, 0, 0, [])


def test_scan_of_nothing() -> None:
    """No slots, or none in flight, are 0 operations; a rest that is no whole slot is not read."""
    assert _native.scan(bytearray(), SLOT_LAYOUT, 10) == (0, 0, 0, [])
    assert _native.scan(slots([(0, 1)] * 3) + b"\xff" * 63, SLOT_LAYOUT, 10) == (0, 0, 0, [])


@pytest.mark.parametrize(("old", "listed", "unlisted"), [(1023, 1023, 0), (1024, 1024, 0), (1025, 1024, 1), (2000, 1024, 976)])
def test_scan_list_is_cut(old: int, listed: int, unlisted: int) -> None:
    """All operations are counted, the first 1,024 old ones are listed, and it is told how many are not."""
    memory = slots((start, start) for start in range(1, old + 1)) + slots([(5000, 1), (6000, 2)], 3)
    in_flight, begun, left_out, found = _native.scan(memory, SLOT_LAYOUT, 5000)

    assert (in_flight, begun, left_out, len(found)) == (old + 2, 6, unlisted, listed)
    assert found[-1] == ((listed - 1) * 64, listed, listed)


@pytest.mark.parametrize(
    "layout",
    [
        (0, 0, 16, 8),
        (-64, 0, 16, 8),
        (64, -1, 16, 8),
        (64, 57, 16, 8),
        (64, 0, 61, 8),
        (64, 0, -1, 8),
        (64, 0, 16, 57),
        (64, 0, 16, -8),
    ],
)
def test_scan_layout_that_is_not_sound(layout: tuple[int, int, int, int]) -> None:
    """A start, a thread id or a counter outside of the slot is refused."""
    with pytest.raises(ValueError, match="the layout of a slot is not sound"):
        _native.scan(slots([(1, 1)]), layout, 10)


def test_reclaim_takes_only_what_it_expects() -> None:
    """A slot is cleared when it still holds the operation that was seen, else it is left alone."""
    memory = slots([(0, 1), (100, 2)])

    assert _native.reclaim(memory, 64, 88, 99) is False
    assert memory == slots([(0, 1), (100, 2)])
    assert _native.reclaim(memory, 64, 88, 100) is True
    assert memory == slots([(0, 1), (0, 2)])
    assert _native.reclaim(memory, 64, 88, 100) is False


@pytest.mark.parametrize(("claims", "left"), [(0, 0), (1, 0), (3, 2), (2**32 - 1, 2**32 - 2)])
def test_reclaim_withdraws_one_claim(claims: int, left: int) -> None:
    """With the start goes the claim of its operation, and no other; there is none where slots are not shared."""
    memory = slots([(0, 1), (100, 2)])
    struct.pack_into("<I", memory, 88, claims)

    assert _native.reclaim(memory, 64, 88, 99) is False
    assert struct.unpack_from("<I", memory, 88) == (claims,)
    assert _native.reclaim(memory, 64, 88, 100) is True
    assert struct.unpack_from("<I", memory, 88) == (left,)
    assert _native.reclaim(memory, 64, 88, 100) is False
    assert struct.unpack_from("<I", memory, 88) == (left,)


def test_reclaim_by_two_at_once() -> None:
    """Of several that take back the same operations each is taken by one alone, with its claim."""
    count = 20_000
    memory = bytearray(struct.pack("<Q20xI32x", 7, 2) * count)
    won = [0, 0]

    def take(index: int) -> None:
        for at in range(0, len(memory), 64):
            won[index] += _native.reclaim(memory, at, at + 28, 7)

    threads = [threading.Thread(target=take, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(won) == count
    assert memory == bytearray(struct.pack("<Q20xI32x", 0, 1) * count)


@pytest.mark.parametrize(
    ("offset", "claims"), [*((offset, 24) for offset in (-8, 4, 57, 64, 2**40)), *((0, claims) for claims in (-4, 2, 61, 64, 2**40))]
)
def test_reclaim_outside(offset: int, claims: int) -> None:
    """An offset that is not that of a whole word in the slots is refused."""
    memory = slots([(1, 1)])
    with pytest.raises(ValueError, match="outside of the slots"):
        _native.reclaim(memory, offset, claims, 1)
    assert memory == slots([(1, 1)])


class Ring:
    """A ring buffer as it is mapped: a page with the consumer's position, one with the producer's, the data twice."""

    def __init__(self, size: int = PAGE, at: int = 0) -> None:
        self.size, self.end = size, at
        self.consumer, self.producer = bytearray(PAGE), bytearray(PAGE + 2 * size)
        self.move(at, at)

    def move(self, consumer: int, producer: int) -> None:
        struct.pack_into("<Q", self.consumer, 0, consumer)
        struct.pack_into("<Q", self.producer, 0, producer)
        self.end = producer

    @property
    def position(self) -> int:
        return int(struct.unpack_from("<Q", self.consumer)[0])

    def put(self, payload: bytes, flags: int = 0) -> int:
        record = struct.pack("<II", len(payload) | flags, 0) + payload + bytes(-len(payload) % 8)
        at = self.end
        for number, byte in enumerate(record):
            place = (at + number) % self.size
            self.producer[PAGE + place] = self.producer[PAGE + self.size + place] = byte
        self.end += len(record)
        struct.pack_into("<Q", self.producer, 0, self.end)
        return at

    def finish(self, at: int, length: int) -> None:
        for copy in (0, self.size):
            struct.pack_into("<I", self.producer, PAGE + copy + at % self.size, length)

    def drain(self, out: bytearray) -> tuple[int, int, int]:
        return _native.drain(self.consumer, self.producer, out, PAGE)


def records(out: bytearray, used: int) -> list[bytes]:
    found, at = [], 0
    while at < used:
        length, zero = struct.unpack_from("<II", out, at)
        assert zero == 0
        found.append(bytes(out[at + 8 : at + 8 + length]))
        at += 8 + -(-length // 8) * 8
    assert at == used
    return found


def test_drain() -> None:
    """Records come out in order with their lengths, and the space is given back to the kernel."""
    ring, out = Ring(), bytearray(PAGE)
    for payload in (b"first", b"", b"12345678"):
        ring.put(payload)
    count, used, left = ring.drain(out)

    assert (count, left, ring.position) == (3, 0, ring.end)
    assert records(out, used) == [b"first", b"", b"12345678"]
    assert ring.drain(out) == (0, 0, 0)


def test_drain_across_the_end() -> None:
    """A record that goes over the end of the ring is read in one piece."""
    ring, out = Ring(at=3 * PAGE - 16), bytearray(PAGE)
    ring.put(bytes(range(200)))
    count, used, left = ring.drain(out)

    assert (count, left) == (1, 0)
    assert records(out, used) == [bytes(range(200))]


def test_drain_stops_at_a_record_that_is_being_written() -> None:
    """A busy record and what is behind it wait until it is finished."""
    ring, out = Ring(), bytearray(PAGE)
    ring.put(b"done")
    busy = ring.put(b"half....", BUSY)
    ring.put(b"after")

    assert ring.drain(out) == (1, 16, 32)
    assert ring.position == busy
    assert ring.drain(out) == (0, 0, 32)
    ring.finish(busy, 8)
    count, used, left = ring.drain(out)
    assert (count, left) == (2, 0)
    assert records(out, used) == [b"half....", b"after"]


def test_drain_skips_discarded_records() -> None:
    """A discarded record is passed over and not counted."""
    ring, out = Ring(), bytearray(PAGE)
    ring.put(b"discarded", DISCARD)
    ring.put(b"kept")
    ring.put(b"discarded", DISCARD)
    count, used, left = ring.drain(out)

    assert (count, left, ring.position) == (1, 0, ring.end)
    assert records(out, used) == [b"kept"]


def test_drain_into_too_little_room() -> None:
    """What does not fit waits for the next call; nothing is cut."""
    ring, out = Ring(), bytearray(40)
    for number in range(5):
        ring.put(bytes([number]) * 8)
    seen = []
    for left_expected in (48, 16, 0):
        count, used, left = ring.drain(out)
        assert left == left_expected
        seen += records(out, used)
        assert len(records(out, used)) == count

    assert seen == [bytes([number]) * 8 for number in range(5)]


def test_drain_without_room() -> None:
    """No room moves nothing and loses nothing."""
    ring = Ring()
    ring.put(b"12345678")

    assert ring.drain(bytearray()) == (0, 0, 16)
    assert ring.position == 0


@pytest.mark.parametrize(
    ("consumer", "producer", "page"),
    [(4, PAGE * 3, PAGE), (PAGE, PAGE, PAGE), (PAGE, PAGE * 3 - 2, PAGE), (PAGE, PAGE * 3, 0), (PAGE, PAGE * 3, -1), (PAGE, 8, PAGE)],
)
def test_drain_pages_that_are_not_a_ring(consumer: int, producer: int, page: int) -> None:
    """Pages that the kernel would not lay out so are refused."""
    with pytest.raises(ValueError, match="not mapped as the kernel lays them out"):
        _native.drain(bytearray(consumer), bytearray(producer), bytearray(64), page)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=30),
    st.integers(0, 600).map(lambda n: 8 * n),
    st.integers(312, 900),
)
def test_drain_gives_what_was_put(puts: list[tuple[bytes, bool]], at: int, room: int) -> None:
    """Whatever is put, wherever the ring stands and however small the room, records come out whole and in order."""
    ring, out, seen, kept = Ring(at=at), bytearray(room), [], []
    for payload, discard in puts:
        ring.put(payload, DISCARD if discard else 0)
        kept += [] if discard else [payload]
        if ring.end - ring.position > PAGE - 400:
            _, used, _ = ring.drain(out)
            seen += records(out, used)
            while ring.end - ring.position > PAGE - 400:
                _, used, _ = ring.drain(out)
                seen += records(out, used)
    while ring.position < ring.end:
        _, used, _ = ring.drain(out)
        seen += records(out, used)

    assert seen == kept
