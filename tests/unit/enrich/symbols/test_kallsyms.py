"""Names of kernel addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from perflens.enrich.symbols.kallsyms import KernelSymbols, stem

LISTING = """\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t schedule
ffffffff81000180 T io_schedule
ffffffff81000200 t wait_on_page.constprop.0
ffffffff81000300 D some_data
ffffffffc0200000 t ext4_read\t[ext4]
ffffffffc0200040 t ext4_write\t[ext4]
ffffffffc0100000 t bpf_prog_6deef7357e7b4530_enter\t[bpf]
"""


def symbols(folder: Path, text: str) -> KernelSymbols:
    (folder / "kallsyms").write_text(text)
    return KernelSymbols(str(folder))


@pytest.fixture
def kernel(tmp_path: Path) -> KernelSymbols:
    return symbols(tmp_path, LISTING)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81000000, "_stext+0x0"),  # of aliases the first
        (0xFFFFFFFF8100001A, "_stext+0x1a"),
        (0xFFFFFFFF81000100, "schedule+0x0"),
        (0xFFFFFFFF8100017F, "schedule+0x7f"),
        (0xFFFFFFFF81000310, "wait_on_page.constprop.0+0x110"),  # data is no end
        (0xFFFFFFFFC020003F, "ext4_read+0x3f [ext4]"),
        (0xFFFFFFFFC0100010, "bpf_prog_6deef7357e7b4530_enter+0x10 [bpf]"),
        (0xFFFFFFFFC0300040, "0xffffffffc0300040"),  # far behind the last one
        (0xFFFFFFFF80FFFFFF, "0xffffffff80ffffff"),
        (0, "0x0"),
        (2**64 - 1, "0xffffffffffffffff"),
    ],
)
def test_name(kernel: KernelSymbols, address: int, name: str) -> None:
    """Addresses of the kernel, of modules and of programs, which stand in no order in the listing."""
    assert kernel.name(address) == kernel.name(address) == name


def test_many(tmp_path: Path) -> None:
    """Names are found in every block that they are packed in, in order and out of order."""
    places = [*range(1_000), *range(1_700, 1_300, -1), *range(1_000, 1_300)]
    kernel = symbols(tmp_path, "".join(f"{0xFFFFFFFF81000000 + 16 * place:x} t name_{place}\n" for place in places))

    for place in sorted(places):
        assert kernel.name(0xFFFFFFFF81000005 + 16 * place) == f"name_{place}+0x5"
    assert [value for *_, value in kernel.ranges({f"name_{place}": f"name_{place}" for place in places})] == [
        f"name_{place}" for place in sorted(places)
    ]


def test_hidden(tmp_path: Path) -> None:
    """A kernel that hides its addresses, or has no such file, leaves them as they are."""
    hidden = symbols(tmp_path, "0000000000000000 T _text\n0000000000000000 t schedule\n")

    for kernel in (hidden, KernelSymbols(str(tmp_path / "absent"))):
        assert not kernel.readable
        assert kernel.name(0xFFFFFFFF81000100) == "0xffffffff81000100"
        assert kernel.ranges({"schedule": 1}) == []


def test_damaged_lines(tmp_path: Path) -> None:
    """What cannot be read is left out."""
    kernel = symbols(tmp_path, "\n \nxyz t a\nffffffff81000000 t\nffffffffffffffff0 t b\n" + LISTING)

    assert kernel.name(0xFFFFFFFF81000101) == "schedule+0x1"


LATE = 0xFFFFFFFFC0208000


@dataclass
class Clock:
    """In s."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def looks(self, kernel: KernelSymbols, *times: float) -> list[bool]:
        found = []
        for self.now in times:
            found.append(kernel.changed())
        return found


@pytest.mark.parametrize("line", ["xfs 2056192 1 - Live 0xffffffffc0208000\n", ""], ids=["loaded", "removed"])
def test_modules_that_come_and_go(tmp_path: Path, line: str) -> None:
    """A module that was loaded since is not taken for the one before it, nor for what was there before."""
    clock = Clock()
    modules, later = tmp_path / "modules", f"{LISTING}{LATE:x} t xfs_read\t[xfs]\n"
    modules.write_text("ext4 9 1 - Live 0xffffffffc0200000\n")
    (tmp_path / "kallsyms").write_text(LISTING if line else later)
    kernel = KernelSymbols(str(tmp_path), clock)
    assert not kernel.changed()  # nothing was read yet
    names = kernel.name(LATE + 0x10), "ext4_write+0x7fd0 [ext4]", "xfs_read+0x10 [xfs]"
    assert names[0] == (names[1] if line else names[2])

    modules.write_text(f"ext4 9 2 xfs, Live 0xffffffffc0200000\n{line or 'bpf 1 1 - Live 0xffffffffc0300000'}")
    (tmp_path / "kallsyms").write_text(later if line else LISTING)
    assert clock.looks(kernel, 1.0, 60.0, 61.0, 120.0) == [False, True, False, False]
    assert kernel.name(LATE + 0x10) == (names[2] if line else names[1])


def test_uses_of_modules_are_no_change(tmp_path: Path) -> None:
    """Who uses a module, and how many, changes all the time."""
    clock = Clock()
    (tmp_path / "modules").write_text("ext4 9 1 - Live 0xffffffffc0200000\n")
    kernel = KernelSymbols(str(tmp_path), clock)
    assert not kernel.readable
    (tmp_path / "modules").write_text("ext4 9 3 a,b, Live 0xffffffffc0200000\n\n")

    assert clock.looks(kernel, 60.0, 120.0) == [False, False]


def test_ranges(kernel: KernelSymbols) -> None:
    """A function reaches to the next one; copies that the compiler made of it count."""
    wanted = {"io_schedule": "io", "schedule": "cpu", "wait_on_page": "page", "_text": "alias"}

    assert kernel.ranges(wanted) == [
        (0xFFFFFFFF81000000, 0xFFFFFFFF81000100, "alias"),
        (0xFFFFFFFF81000100, 0xFFFFFFFF81000180, "cpu"),
        (0xFFFFFFFF81000180, 0xFFFFFFFF81000200, "io"),
        (0xFFFFFFFF81000200, 0xFFFFFFFF81100200, "page"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("schedule", "schedule"),
        ("a.isra.0", "a"),
        ("a.constprop.0.isra.1", "a"),
        ("a.part.3.cold", "a"),
        ("a.llvm.1234", "a"),
        ("a.lto_priv.0", "a"),
        ("a.b", "a.b"),
        (".isra.0", ""),
    ],
)
def test_stem(name: str, expected: str) -> None:
    """Only what compilers append is cut."""
    assert stem(name) == expected


def test_own_kernel() -> None:
    """The listing of the kernel that runs is read, or says that it hides."""
    kernel = KernelSymbols()
    ranges = kernel.ranges({"vfs_read": True})
    if not kernel.readable:
        pytest.skip("needs a kernel that shows its addresses")

    assert kernel.name(ranges[0][0] + 0x1A) == "vfs_read+0x1a"
