"""The functions of libbpf 1.x that PerfLens calls, by ctypes.

They come from the native module when libbpf is linked into it (wheels), else from the system's libbpf.so.1.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import deque
from functools import cache
from typing import Any

from perflens.errors import ProbeError
from perflens.kernel import _native

__all__ = ["ANY", "TRACE_ITER", "Library", "OpenOptions", "TestRun", "library", "test_run"]

ANY = 0  # BPF_ANY
TRACE_ITER = 28  # BPF_TRACE_ITER of enum bpf_attach_type

_P, _I, _U32, _U64, _S, _B, _SIZE = (
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_char_p,
    ctypes.c_bool,
    ctypes.c_size_t,
)

_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_version_string": (_S, ()),
    "libbpf_set_print": (_P, (_P,)),
    "bpf_object__open_file": (_P, (_S, _P)),
    "bpf_object__load": (_I, (_P,)),
    "bpf_object__close": (None, (_P,)),
    "bpf_object__next_program": (_P, (_P, _P)),
    "bpf_object__next_map": (_P, (_P, _P)),
    "bpf_object__find_map_by_name": (_P, (_P, _S)),
    "bpf_prog_load": (_I, (_I, _S, _S, _S, _SIZE, _P)),
    "bpf_program__name": (_S, (_P,)),
    "bpf_program__section_name": (_S, (_P,)),
    "bpf_program__fd": (_I, (_P,)),
    "bpf_program__set_autoload": (_I, (_P, _B)),
    "bpf_program__attach": (_P, (_P,)),
    "bpf_program__attach_perf_event": (_P, (_P, _I)),
    "bpf_link__destroy": (_I, (_P,)),
    "bpf_link_create": (_I, (_I, _I, _I, _P)),
    "bpf_iter_create": (_I, (_I,)),
    "bpf_map__fd": (_I, (_P,)),
    "bpf_map__name": (_S, (_P,)),
    "bpf_map__reuse_fd": (_I, (_P, _I)),
    "bpf_map__type": (_I, (_P,)),
    "bpf_map__key_size": (_U32, (_P,)),
    "bpf_map__value_size": (_U32, (_P,)),
    "bpf_map__max_entries": (_U32, (_P,)),
    "bpf_map__set_max_entries": (_I, (_P, _U32)),
    "bpf_map__initial_value": (_P, (_P, ctypes.POINTER(_SIZE))),
    "bpf_map_update_elem": (_I, (_I, _P, _P, _U64)),
    "bpf_map_delete_elem": (_I, (_I, _P)),
    "bpf_prog_test_run_opts": (_I, (_I, _P)),
    "bpf_raw_tracepoint_open": (_I, (_S, _I)),
}

_PRINT = ctypes.CFUNCTYPE(_I, _I, _S, _P)
_DEBUG = 2  # LIBBPF_DEBUG of enum libbpf_print_level: thousands of lines a load, none of which says why one fails


class TestRun(ctypes.Structure):
    """``struct bpf_test_run_opts`` of libbpf's bpf.h, whose first member tells libbpf how much of it the caller knows."""

    __test__ = False  # not a test, though pytest sees the name

    _fields_ = [
        ("size", _SIZE),
        ("data_in", _P),
        ("data_out", _P),
        ("data_size_in", _U32),
        ("data_size_out", _U32),
        ("ctx_in", _P),
        ("ctx_out", _P),
        ("ctx_size_in", _U32),
        ("ctx_size_out", _U32),
        ("retval", _U32),
        ("repeat", _I),
        ("duration", _U32),
        ("flags", _U32),
        ("cpu", _U32),
        ("batch_size", _U32),
    ]


class OpenOptions(ctypes.Structure):
    """``struct bpf_object_open_opts``, as far as it is used: see TestRun."""

    _fields_ = [
        ("size", _SIZE),
        ("object_name", _S),
        ("relaxed_maps", _B),
        ("pin_root_path", _S),
        ("removed", _U32),
        ("kconfig", _S),
        ("btf_custom_path", _S),
    ]


class Library:
    """libbpf with its own last warnings: what it says goes into error texts instead of standard error."""

    def __init__(self, shared: ctypes.CDLL) -> None:
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(shared, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.said: deque[str] = deque(maxlen=64)
        self._print = _PRINT(self._keep)
        self.libbpf_set_print(ctypes.cast(self._print, _P))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def _keep(self, level: int, form: bytes, arguments: int) -> int:
        if level >= _DEBUG:
            return 0
        text = ctypes.create_string_buffer(2048)
        ctypes.CDLL(None).vsnprintf(text, _SIZE(len(text)), form, _P(arguments))
        self.said.append(text.value.decode("utf-8", "backslashreplace").strip())
        return 0

    def why(self) -> str:
        """Return the last error number in words; call it right after the function that failed."""
        number = ctypes.get_errno()
        return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"


def _open(path: str) -> ctypes.CDLL | None:
    try:
        shared = ctypes.CDLL(path, use_errno=True)
    except OSError:
        return None
    return shared if hasattr(shared, "bpf_object__open_file") else None


@cache
def library() -> Library:
    """Return libbpf; ProbeError when this host has none or one older than 1.0."""
    for path in (_native.__file__, "libbpf.so.1"):
        shared = _open(path)
        if shared is not None:
            return Library(shared)
    raise ProbeError("libbpf 1.x is not installed", "apt-get install libbpf1, or install the wheel, which brings its own")


def test_run(lib: Library, program: str, fd: int, arguments: bytes) -> int:
    """Run a raw tracepoint program once with ``arguments`` as its context; return its result. ProbeError when it cannot be run."""
    context = ctypes.create_string_buffer(arguments, len(arguments))
    options = TestRun(size=ctypes.sizeof(TestRun), ctx_in=ctypes.addressof(context), ctx_size_in=len(arguments))
    if lib.bpf_prog_test_run_opts(fd, ctypes.byref(options)):
        raise ProbeError(f"{program} cannot be run: {lib.why()}", "use a kernel from 5.10 on")
    return int(options.retval)
