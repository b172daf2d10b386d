"""Names of kernel addresses, from /proc/kallsyms (proc(5))."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from time import monotonic
from typing import TypeVar
from zlib import compress, decompress

__all__ = ["KernelSymbols", "stem"]

_TEXT = frozenset(b"tTwW")  # the frames of a stack are in no data
_LONGEST = 1 << 20  # no function is longer: what lies further from a symbol belongs to none
_NAMES_KEPT = 8192
_UNUSED = 60.0
_LOOKED_EVERY = 30.0  # s from one look at the modules to the next
_TOGETHER = 128  # names in a block
_BLOCKS_AT_HAND = 16  # a module's names stand together, in no order
_SUFFIXES = frozenset({"isra", "constprop", "part", "cold", "llvm", "lto_priv"})

T = TypeVar("T")


def stem(name: str) -> str:
    """Return a function's name without what compilers append to the copies that they make of it."""
    head, dot, tail = name.partition(".")
    return head if dot and tail.split(".", 1)[0] in _SUFFIXES else name


def _stem_of(line: bytes) -> bytes:
    """The ``stem`` of a line of a block, ``name[\\t[module]]``."""
    return stem(line.partition(b"\t")[0].decode("ascii", "backslashreplace")).encode()


class _Table:
    """Text symbols by address. Names lie packed in blocks: 120,000 symbols take 1.2 MiB so, and 4.5 MiB as they are.

    The blocks lie in one piece, which the C library maps by itself: when it goes it leaves no holes between what stays.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.starts = array("Q")
        self._packed, self._ends = bytearray(), array("I", [0])
        self._names = lru_cache(_BLOCKS_AT_HAND)(self._unpack)
        self._ordered = self._read(lines)
        self._places = self._sort()
        self._shorten()

    def _pack(self, names: Sequence[bytes]) -> None:
        self._packed += compress(b"\n".join(names), 1)
        self._ends.append(len(self._packed))

    def _unpack(self, block: int) -> list[bytes]:
        return decompress(memoryview(self._packed)[self._ends[block] : self._ends[block + 1]]).split(b"\n")

    def _read(self, lines: Iterable[bytes]) -> int:
        """Read all and return how many of the first ones are in order."""
        add_start, names = self.starts.append, list[bytes]()
        last = ordered = 0
        for line in lines:
            gap = line.find(b" ")  # "ffffffff81000000 T _text\t[module]\n"
            try:
                if line[gap + 1] in _TEXT and (start := int(line[:gap], 16)):
                    add_start(start)
                    names.append(line[gap + 3 : -1])
                    if len(names) == _TOGETHER:
                        self._pack(names)
                        names.clear()
                    if start < last:
                        ordered = ordered or len(self.starts) - 1
                    last = start
            except (ValueError, IndexError, OverflowError):
                continue
        self._pack(names)
        return ordered or len(self.starts)

    def _sort(self) -> array[int]:
        """Sort the addresses and return where the listing has those from ``_ordered`` on.

        Modules and BPF programs follow the kernel itself in no order. Stable: of aliases, the first one listed is shown.
        """
        tail = self.starts[self._ordered :]
        if not tail:
            return array("I")
        self._ordered = bisect_right(self.starts, min(tail), 0, self._ordered)
        order = sorted(range(self._ordered, len(self.starts)), key=self.starts.__getitem__)
        self.starts[self._ordered :] = array("Q", [self.starts[place] for place in order])
        return array("I", order)

    def _shorten(self) -> None:
        """Keep addresses from ``first`` on in 4 bytes each where they lie that close, as those of x86 do."""
        self.first = self.starts[0] if self.starts else 0
        try:
            self.starts = array("I", (start - self.first for start in self.starts))  # no list: 4 MiB of numbers for a moment
        except OverflowError:
            self.first = 0

    def entry(self, index: int) -> tuple[str, str]:
        """Return the name of a symbol and ``[module]``, empty for the kernel itself."""
        block, place = divmod(index if index < self._ordered else self._places[index - self._ordered], _TOGETHER)
        name, _, module = self._names(block)[place].decode("ascii", "backslashreplace").partition("\t")
        return name, module

    def first_of(self, address: int) -> int:
        """Return the index of the first symbol that stands where the last one up to ``address`` does; -1 for none."""
        index = bisect_right(self.starts, address - self.first) - 1
        while index > 0 and self.starts[index - 1] == self.starts[index]:
            index -= 1
        return index

    def indices(self, names: Collection[bytes]) -> list[int]:
        """Return the indices of the functions whose ``stem`` is in ``names``, in their order."""
        sorted_place = {place: index for index, place in enumerate(self._places, self._ordered)}
        found = [
            block * _TOGETHER + place
            for block in range(-(-len(self.starts) // _TOGETHER))
            for place, line in enumerate(self._names(block))
            if line in names or ((b"." in line or b"\t" in line) and _stem_of(line) in names)
        ]
        return sorted(sorted_place.get(place, place) for place in found)

    def range_of(self, index: int) -> tuple[int, int]:
        """Return start and end of a function; aliases have the same."""
        start, after = self.start(index), bisect_right(self.starts, self.starts[index])
        return start, min(self.start(after) if after < len(self.starts) else 1 << 64, start + _LONGEST)

    def start(self, index: int) -> int:
        """Return the address of a symbol."""
        return self.first + self.starts[index]


class KernelSymbols:
    """Kernel functions by address, read at the first use, and let go by ``rest`` when no new address came for a while.

    The names that were found are kept: a host sleeps in the same few hundred functions. ``readable`` is false when the kernel hides
    its addresses (kptr_restrict, or no CAP_SYSLOG): names stay addresses then.
    """

    def __init__(self, procfs: str = "/proc", clock: Callable[[], float] = monotonic) -> None:
        self._path, self._modules_path, self._clock = f"{procfs}/kallsyms", f"{procfs}/modules", clock
        self._table: _Table | None = None
        self._modules: frozenset[tuple[bytes, ...]] | None = None  # None until the symbols are read
        self._looked_at = 0.0
        self._used_at = 0.0
        self._readable: bool | None = None
        self._names: dict[int, str] = {}

    @property
    def readable(self) -> bool:
        """Whether the kernel shows its addresses."""
        if self._readable is None:
            self._loaded()
        return bool(self._readable)

    def rest(self, unused: float = _UNUSED) -> None:
        """Let the table go, a MiB or two, if it was not used for so many seconds."""
        if self._clock() - self._used_at >= unused:
            self._table = None

    def __len__(self) -> int:
        return len(self._loaded().starts)

    def changed(self) -> bool:
        """Whether modules came or went since the last look, of 30 s ago at least: the names that were known are forgotten then."""
        if self._modules is None or self._clock() - self._looked_at < _LOOKED_EVERY:
            return False
        before, self._modules = self._modules, self._look()
        if self._modules == before:
            return False
        self._table, self._names = None, {}
        return True

    def name(self, address: int) -> str:
        """Return ``function+0x1a`` or ``function+0x1a [module]``; the address itself where nothing is known."""
        names = self._names  # of its own: another thread may put another in its place
        found = names.get(address)
        if found is None:
            if len(names) >= _NAMES_KEPT:
                names.clear()
            found = names[address] = self._find(address)
        return found

    def ranges(self, names: Mapping[str, T]) -> list[tuple[int, int, T]]:
        """Return the sorted address ranges of the functions whose ``stem`` is in ``names``, with what stands there."""
        table = self._loaded()
        found = table.indices({name.encode() for name in names})
        return [(*table.range_of(index), names[stem(table.entry(index)[0])]) for index in found]

    def _find(self, address: int) -> str:
        table = self._loaded()
        index = table.first_of(address)
        if index < 0 or address - table.start(index) >= _LONGEST:
            return f"{address:#x}"
        name, module = table.entry(index)
        return f"{name}+{address - table.start(index):#x}{' ' if module else ''}{module}"

    def _loaded(self) -> _Table:
        table = self._table  # of its own: another thread may let it go
        self._used_at = self._clock()
        if table is None:
            if self._modules is None:
                self._modules = self._look()
            try:
                with open(self._path, "rb", buffering=1 << 16) as lines:
                    table = _Table(lines)
            except OSError:
                table = _Table(())
            self._table, self._readable = table, bool(table.starts)
        return table

    def _look(self) -> frozenset[tuple[bytes, ...]]:
        """Name, state and address of each module, ``xfs 2056192 1 - Live 0xffffffffc0a00000``; none where there is no such file."""
        self._looked_at = self._clock()
        try:
            with open(self._modules_path, "rb") as lines:
                return frozenset((words[0], *words[4:6]) for words in map(bytes.split, lines) if words)
        except OSError:
            return frozenset()
