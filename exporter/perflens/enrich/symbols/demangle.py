"""Mangled names of C++ and Rust as people write them.

Both readers are our own: a frame needs the name without parameters, and a hostile one must end soon. The package for C++ names on
PyPI reads half of those of libstdc++ and LLVM as binutils does, ours 98 of 100; the one for Rust has no licence.
"""

from __future__ import annotations

from collections.abc import Callable

from perflens.enrich.symbols.itanium import cxx_name
from perflens.enrich.symbols.rust import rust_legacy_name, rust_name

__all__ = ["demangle"]

_LONGEST = 2048
_SHOWN = 200
_NESTINGS = (99, 2, 1, 0)
_DAMAGED = (ValueError, IndexError, KeyError, OverflowError, RecursionError)


def demangle(name: bytes) -> bytes:
    """Return the name as it is written in its language; the name itself when it is not mangled or cannot be read.

    Of a name too long to be shown, inner template arguments become ``…``: the function's own name stands at the end.
    """
    if len(name) > _LONGEST or not name.startswith((b"_Z", b"_R")):
        return name
    text, _, _ = name.decode("ascii", "replace").partition("@")  # a symbol's version
    try:
        return _readable(text).encode()
    except _DAMAGED:
        return name


def _readable(name: str) -> str:
    try:  # this mangling alone has dots of its own
        return rust_legacy_name(name)
    except ValueError:
        base, dot, suffix = name.partition(".")
        return _short(rust_name if name.startswith("_R") else cxx_name, base) + ("" if suffix.startswith("llvm.") else dot + suffix)


def _short(read: Callable[[str, int], str], name: str) -> str:
    found = ""
    for nesting in _NESTINGS:
        try:
            found = read(name, nesting)
        except ValueError:  # too long in full
            if nesting == _NESTINGS[-1]:
                raise
            continue
        if len(found) <= _SHOWN:
            break
    return found
