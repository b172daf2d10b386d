"""How frames are shown."""

from __future__ import annotations

import pytest

from perflens.enrich.symbols.text import LONGEST, frame_text


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ((b"main", 26, b"program", b""), "main+0x1a"),
        ((b"gettime", 26, b"[vdso]", b""), "gettime+0x1a [vdso]"),
        ((b"", 26, b"program", b"\x01"), "program+0x1a"),
        ((b"", 26, b"", b"\x01\xab"), "build-id:01ab+0x1a"),
        ((b"", 26, b"", b""), "0x1a"),
        ((b"a\nb\x1b[0m\x00", 0, b"", b""), "a\\x0ab\\x1b[0m\\x00+0x0"),
        ((b"\xff\xc3\xb6", 0, b"", b""), "\\xff\u00f6+0x0"),
        (("\u202eevil".encode(), 0, b"", b""), "\\u202eevil+0x0"),
        ((b"f" * 1000, 26, b"", b""), "f" * (LONGEST - 6) + "…+0x1a"),
        ((b"\x00" * 1000, 26, b"", b""), ("\\x00" * 100)[: LONGEST - 6] + "…+0x1a"),
    ],
)
def test_frame(frame: tuple[bytes, int, bytes, bytes], text: str) -> None:
    """One printable line of bounded length."""
    assert frame_text(*frame) == text
    assert len(text) <= LONGEST
