"""kernel/heap.py: what is given back, and that nothing is which would be missed."""

from __future__ import annotations

import re
import subprocess
import sys

from perflens.kernel.heap import idle_code

SMAPS = """\
00400000-00420000 r--p 00000000 08:01 1  /usr/bin/python3.11
Rss:                 128 kB
Anonymous:             0 kB
00420000-006d0000 r-xp 00020000 08:01 1  /usr/bin/python3.11
Anonymous:             0 kB
006d0000-00900000 r-xp 00020000 08:01 1  /usr/lib/with a space.so (deleted)
Anonymous:             0 kB
00900000-00901000 r--p 004ff000 08:01 1  /usr/lib/relocated.so
Anonymous:             4 kB
00901000-00902000 r-xp 004ff000 08:01 1  /usr/lib/breakpoint.so
Anonymous:             4 kB
00a00000-00a48000 rw-p 00500000 08:01 1  /usr/bin/python3.11
Anonymous:             0 kB
00b00000-00b10000 r--s 00000000 08:01 2  /usr/lib/shared.cache
Anonymous:             0 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 00:00 0 [vvar]
Anonymous:             0 kB
7f0000400000-7f0000500000 r--s 00000000 00:0e 3  anon_inode:bpf-map
Anonymous:             0 kB
"""


def test_idle_code() -> None:
    """Only what a file gives back as it was: nothing writable, shared, relocated or patched, and no memory without a file."""
    assert list(idle_code(SMAPS.splitlines())) == [(0x400000, 0x20000), (0x420000, 0x2B0000), (0x6D0000, 0x230000)]


def test_trim_leaves_everything_working() -> None:
    """A process that has given back its code goes on as before, with less of it in memory."""
    code = (
        "import hashlib, re, ssl, threading\n"
        "from pathlib import Path\n"
        "from perflens.kernel.heap import give_back_large_blocks, trim\n"
        "def pages(): return int(re.search(r'RssFile:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "give_back_large_blocks()\n"
        "ssl.create_default_context(); before = hashlib.sha256(b'x').hexdigest(); held = pages()\n"
        "trim(); trim()\n"
        "assert hashlib.sha256(b'x').hexdigest() == before and ssl.create_default_context()\n"
        "thread = threading.Thread(target=lambda: ssl.RAND_bytes(8)); thread.start(); thread.join()\n"
        "print(held, pages())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "exporter"}, capture_output=True, text=True, check=True)
    held, left = map(int, re.findall(r"\d+", done.stdout))
    assert left < held


def test_shared_functions_do_what_a_dataclass_does() -> None:
    """Frozen values refuse changes, show all but what is secret, are equal, hashed and replaced as before; of each class one is left."""
    code = (
        "import gc\n"
        "from dataclasses import FrozenInstanceError, dataclass, field, replace\n"
        "from perflens.kernel.heap import share_what_dataclasses_repeat\n"
        "__name__ = 'perflens.made'\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class A:\n"
        "    number: int\n"
        "    word: str = 'x'\n"
        "    secret: str = field(default='s', repr=False)\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class B:\n"
        "    number: int\n"
        "    def __repr__(self): return 'of its own'\n"
        "@dataclass(slots=True)\n"
        "class C:\n"
        "    number: int\n"
        "def refused(change):\n"
        "    try: change()\n"
        "    except FrozenInstanceError: return True\n"
        "def classes(name): return sum(isinstance(own, type) and own.__name__ == name for own in gc.get_objects())\n"
        "shown = repr(A(1))\n"
        "share_what_dataclasses_repeat(); share_what_dataclasses_repeat()\n"
        "own, free = A(1), C(1)\n"
        "free.number = 2\n"
        "assert repr(own) == shown == \"A(number=1, word='x')\", repr(own)\n"
        "assert repr(B(1)) == 'of its own' and repr(free) == 'C(number=2)'\n"
        "assert refused(lambda: setattr(own, 'number', 2)) and refused(lambda: delattr(own, 'number'))\n"
        "assert refused(lambda: setattr(own, 'other', 2)) and own.number == 1\n"
        "assert own == A(1) != A(2) and len({own, A(1)}) == 1 and replace(own, number=3) == A(3)\n"
        "assert classes('A') == classes('B') == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "exporter"}, check=True)
