"""The loops over memory that is shared with BPF programs; see _native.c."""

from array import array
from mmap import mmap

_Memory = mmap | bytearray | memoryview | array[int]

def harvest(
    cells: _Memory,
    keys: _Memory,
    bindings: array[int],
    rows: array[int],
    slow: array[int],
    layout: tuple[int, int, int, int, int, int, int, int, int, int, int],
    /,
) -> list[int]:
    """Move every count of the cells in use into the rows they are bound to; return the cells bound to none.

    ``bindings`` holds (histogram row, slow row) for each cell as int32, -1 for none. A histogram row is count, sum in ns,
    the buckets, one count an octave; a slow row is count, sum in ns, the waits in ns. ``layout`` is (cell size, bucket offset,
    buckets, sum offset, slow offset, slow sum offset, wait offset, waits, shards, key size, state offset).
    ValueError or IndexError when these do not fit.
    """

def scan(slots: _Memory, layout: tuple[int, int, int, int], before: int, /) -> tuple[int, int, int, list[tuple[int, int, int]]]:
    """Return (operations in flight, operations begun, how many are not listed, [(offset, start, tid)] of those before ``before``).

    ``layout`` is (slot size, start offset, tid offset, begun offset). The list is cut at 1,024.
    """

def reclaim(slots: _Memory, offset: int, claims: int, expected: int, /) -> bool:
    """Set the 64-bit word at ``offset`` to 0 if it still holds ``expected``; return whether it did.

    Then the 32-bit word at ``claims`` is one less, unless it is 0.
    """

def drain(consumer: _Memory, producer: _Memory, out: bytearray, page: int, /) -> tuple[int, int, int]:
    """Move finished ring records into ``out``; return (records, bytes used, bytes left in the ring).

    A record is u32 length, u32 0, the payload padded to 8 bytes. A record longer than what is left of ``out`` waits.
    """
