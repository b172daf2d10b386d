"""Whether this kernel lets functions be traced (fentry, fexit): asked of the verifier itself, with a program that is never loaded."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from perflens.errors import ProbeError
from perflens.kernel.libbpf import library

__all__ = ["why_functions_cannot_be_traced"]

_TRACING, _FENTRY = 26, 24  # enum bpf_prog_type and bpf_attach_type of include/uapi/linux/bpf.h
_RETURN_0 = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
_NO_FUNCTION = 1  # in the kernel's BTF the first type is never a function: a kernel that traces says that the argument is invalid


class _Options(ctypes.Structure):
    """The begin of ``struct bpf_prog_load_opts`` of libbpf's bpf.h, whose first member tells how much of it the caller knows."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("attach_type", ctypes.c_int),
        ("btf_fd", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("kernel_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    ]


def why_functions_cannot_be_traced() -> str:
    """Return the kernel's refusal in words, or an empty string when it takes such programs."""
    try:
        lib = library()
    except ProbeError as error:
        return error.reason
    options = _Options(size=ctypes.sizeof(_Options), attempts=1, attach_type=_FENTRY, attach_btf_id=_NO_FUNCTION)
    fd = lib.bpf_prog_load(_TRACING, b"tryload", b"GPL", _RETURN_0, len(_RETURN_0) // 8, ctypes.byref(options))
    if fd >= 0:
        os.close(fd)
        return ""
    return "" if ctypes.get_errno() == errno.EINVAL else lib.why()
