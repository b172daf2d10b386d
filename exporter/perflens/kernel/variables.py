"""The variables of an object: constants that are set before it is loaded, and those that change while it runs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from mmap import mmap

from perflens.errors import LayoutError
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.features import Host
from perflens.model import BUCKETS, bucket_bounds

__all__ = ["Variables", "knobs"]

_UNREACHABLE = 2**63 - 1  # pads the bounds table where a masked index may point


class Variables:
    """The mapped .bss section of a loaded object."""

    def __init__(self, memory: mmap, types: ObjectTypes) -> None:
        self._memory, self._types = memory, types

    def __contains__(self, name: str) -> bool:
        """Whether the object has a variable of this name that can be set."""
        found = self._types.variables.get(name)
        return found is not None and found.section == ".bss"

    def set(self, name: str, values: Sequence[int]) -> None:
        """Set a variable, an array as a whole; LayoutError for one of another section or length.

        The programs read it meanwhile, so each element goes from the old value to the new one: struct.pack_into would clear all of
        them first, and a filter that is empty for a moment filters an operation.
        """
        place = self._types.variable(name)
        if place.section != ".bss" or place.field.count != len(values):
            raise LayoutError(f"variable {name} cannot be set: {place.field.count} elements in {place.section}")
        packed, size = struct.pack(f"={place.field.code}", *values), place.field.size // place.field.count
        for begin in range(0, len(packed), size):
            own = slice(place.field.offset + begin, place.field.offset + begin + size)
            if self._memory[own] != packed[begin : begin + size]:
                self._memory[own] = packed[begin : begin + size]

    def get(self, name: str) -> tuple[int, ...]:
        """Return the elements of a variable."""
        place = self._types.variable(name).field
        return struct.unpack_from(f"={place.code}", self._memory, place.offset)


def knobs(types: ObjectTypes, host: Host, fixed: Mapping[str, int]) -> dict[str, bytes]:
    """Return the constants of an object as bytes: those that follow from the host, the bucket bounds, and ``fixed``.

    Those that it does not have are left out.
    """
    table = types.variable("bounds").field
    own = {name: getattr(host, name) for name in ("owner_by_memory", "queue_first", "request_flags_enum")}
    packed = {
        name: struct.pack(f"={types.variable(name).field.code}", value)
        for name, value in {**own, **fixed}.items()
        if name in types.variables
    }
    return {**packed, "bounds": struct.pack(f"={table.count}Q", *bucket_bounds(), *[_UNREACHABLE] * (table.count - BUCKETS))}
