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
