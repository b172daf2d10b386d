"""Decodes ``struct cell_info``: what the kernel noted when it claimed a cell."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from perflens.layout import Layout
from perflens.model import CellInfo

__all__ = ["cell_info_decoder"]


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def cell_info_decoder(layout: Layout) -> Callable[[bytes], CellInfo]:
    """Return the decoder for this layout. The kernel lays the names of a path leaf first, each ended by NUL.

    Bytes of a path that are no UTF-8 stay as surrogates (os.fsdecode): the path must still lead to the cgroup.
    """
    object_field, owner_field = layout["object"], layout["owner"]
    assert owner_field.layout is not None
    path = owner_field.layout.unpacker("length", "complete", "names")
    name = struct.Struct(object_field.code)

    def decode(record: bytes) -> CellInfo:
        length, complete, names = path.unpack_from(record, owner_field.offset)
        parts = names[:length].split(b"\0")[:-1]
        return CellInfo(
            object_name=_text(name.unpack_from(record, object_field.offset)[0]),
            path=tuple(os.fsdecode(part) for part in reversed(parts)),
            complete=bool(complete),
        )

    return decode
