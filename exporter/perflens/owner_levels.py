"""The levels at which series tell owners apart: how an owner is named at each, and the labels that such a name stands for.

A name is one text, so that series, incidents and the API call an owner the same. At ``unit`` it is the unit. From ``workload`` on it is
``namespace/Kind/name``, with ``/pod`` and ``/pod/container`` behind it at the next levels; what is in no pod is ``Unit/`` and its unit,
and what is in one that nobody could name begins with ``Pod/`` and its uid. No namespace begins with a capital letter, so a name can be
taken apart again.
"""

from __future__ import annotations

from collections.abc import Callable

from perflens.model import OTHER, Pod

__all__ = ["LABELS", "OwnerLabels", "labels_of", "name_at"]

LABELS: dict[str, tuple[str, ...]] = {
    "node": (),
    "unit": ("unit",),
    "workload": ("namespace", "workload"),
    "pod": ("namespace", "workload", "pod"),
    "container": ("namespace", "workload", "pod", "container"),
}
"""Label names of each level."""

OwnerLabels = Callable[[str], tuple[tuple[str, str], ...]]
"""``(owner's name)``: the labels that it stands for."""

_UNIT, _POD = "Unit/", "Pod/"
_UNKNOWN = "unknown"
_ID_SHOWN = 12
"""As many digits of a container's id as runtimes show."""


def name_at(level: str, unit: str, pod: Pod) -> str:
    """Return the name of an owner at a level, empty where it is the unit's."""
    if level in ("node", "unit"):
        return ""
    if not pod.uid:
        return unit if unit == _UNKNOWN else _UNIT + unit
    parts = [f"{pod.namespace}/{pod.workload}" if pod.name else _POD + pod.uid]
    if level != "workload":
        parts.append(pod.name or pod.uid)
    if level == "container":
        parts.append(pod.container or pod.container_id[:_ID_SHOWN])
    return "/".join(parts)


def labels_of(level: str) -> OwnerLabels:
    """Return what takes the names of a level apart."""
    names = LABELS[level]
    if not names:
        return lambda _: ()
    if level == "unit":
        return lambda owner: ((names[0], owner),)
    return lambda owner: tuple(zip(names, _values(owner, len(names)), strict=True))


def _values(owner: str, number: int) -> tuple[str, ...]:
    if owner == OTHER:
        return (OTHER,) * number
    if owner == _UNKNOWN or owner.startswith(_UNIT):
        return ("", owner, "", "")[:number]
    namespace, rest = ("", owner) if owner.startswith(_POD) else owner.split("/", 1)
    return namespace, *rest.rsplit("/", number - 2)
