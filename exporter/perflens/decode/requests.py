"""Decodes ``struct event`` of requests: what a disk took long for."""

from __future__ import annotations

from collections.abc import Mapping

from perflens.decode.sums import SummingDecoder, UndecodableEvent, device_of, text
from perflens.layout import Layout
from perflens.model import BlockRequest, FileIdentity, ProcessKey, SlowEvent

__all__ = ["RequestDecoder"]


class RequestDecoder(SummingDecoder):
    """Decodes the events of one probe. ``operations`` are labels by number."""

    def __init__(self, probe: str, event: Layout, operations: Mapping[int, str]) -> None:
        super().__init__(event)
        self._probe, self._operations = probe, operations
        self._names = tuple(own.name for own in sorted(event.fields.values(), key=lambda own: own.offset))
        self._whole = event.unpacker(*self._names)

    def whole(self, batch: bytes | bytearray, at: int, length: int) -> SlowEvent:
        """Return the event at ``at``; UndecodableEvent when it is not of its length, or its times do not sum up to its duration."""
        if not self._whole.size <= length <= len(batch) - at:
            raise UndecodableEvent(f"a record of {length} bytes")
        own = dict(zip(self._names, self._whole.unpack_from(batch, at), strict=True))
        if own["operation"] not in self._operations:
            raise UndecodableEvent(f"a record of {length} bytes: operation {own['operation']}")
        blocked = {"held": own["held"], "queue": own["queue"], "device": own["device"]}
        if sum(blocked.values()) != own["duration"]:
            raise UndecodableEvent(f"a record of {length} bytes: {' + '.join(map(str, blocked.values()))} ns of {own['duration']}")
        request = BlockRequest(
            operation=self._operations[own["operation"]],
            device=device_of(own["number"]),
            sector=own["sector"],
            bytes=own["bytes"],
            start=own["start"],
            held=own["held"],
            queue=own["queue"],
            served=own["device"],
            error=max(-own["result"], 0),
            disk=text(own["object"]),
        )
        return SlowEvent(
            probe=self._probe,
            operation=request.operation,
            object_name=request.disk or "unknown",
            in_progress=False,
            start=request.start,
            duration=own["duration"],
            process=ProcessKey(own["pid"], own["process_start"]),
            parent_pid=own["parent"],
            tid=own["tid"],
            comm=text(own["comm"]),
            process_name=text(own["process_name"]),
            owner_id=own["owner"],
            result=own["result"],
            file=FileIdentity("", False, request.device, 0),
            on_cpu=0,
            runqueue=0,
            unattributed=0,
            blocked=blocked,
            waits=(),
            waits_seen=0,
            kernel_stack=(),
            user_stack=(),
            requests=(request,),
            requests_seen=1,
            is_request=True,
            operation_start=own["operation_start"],
        )
