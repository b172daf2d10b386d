"""What the agent may do, before and after its probes are attached."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from perflens.capability import NAMES, NEEDS, listed, needed
from perflens.kernel import capabilities
from perflens.kernel.features import number
from perflens.logs import fields

__all__ = ["DroppingPrivileges", "Privileges", "UnchangedPrivileges", "kept"]

_log = logging.getLogger("perflens")

_TOLD_ELSEWHERE = ("BPF", "PERFMON", "SYS_RESOURCE", "SYSLOG")  # by a probe that is not attached, and by kernel symbols that are hidden


class Privileges(Protocol):
    """What an agent may do, and the one moment at which that becomes less."""

    @property
    def effective(self) -> Mapping[str, bool]:
        """Whether it has each of the capabilities that it has a use for."""

    def drop(self) -> None:
        """Give up what is not needed any more."""


class UnchangedPrivileges:
    """Those of a process that does more than to be an agent."""

    def __init__(self) -> None:
        self.effective = _of_needs(capabilities.of_thread())

    def drop(self) -> None:
        """Keep everything."""


class DroppingPrivileges:
    """Keeps what the configuration says: ``needed``, ``all``, ``none`` or names, with or without CAP_, each item one or several."""

    def __init__(self, keep: Sequence[str], procfs: str) -> None:
        self._keep, self._procfs = keep, procfs
        sets = capabilities.of_thread()
        self.effective = _of_needs(sets)
        _log.info("capabilities", extra=fields(has=listed(sets.effective)))
        for own in NEEDS:
            if own.name not in _TOLD_ELSEWHERE and not {own.name, own.instead} & sets.effective:
                cure = f"grant CAP_{own.name} (docs/capabilities.md)"
                _log.warning("a capability is missing", extra=fields(capability=own.name, lost="; ".join(own.lost), cure=cure))

    def drop(self) -> None:
        """Drop the others in every thread, and log what is left."""
        before = capabilities.of_thread()
        keep = kept(self._keep, before, self._procfs)
        if keep >= frozenset(NAMES):
            _log.info("capabilities kept", extra=fields(has=listed(before.effective)))
            return
        try:
            after, left = capabilities.drop(keep)
        except OSError as error:
            _log.warning("capabilities cannot be dropped", extra=fields(reason=error.strerror, cure="let seccomp allow capset and prctl"))
            return
        self.effective = _of_needs(after)
        threads = len(capabilities.of_threads())
        dropped = listed(before.permitted - after.permitted)
        _log.info("capabilities dropped", extra=fields(dropped=dropped, has=listed(after.effective), threads=threads))
        if left:
            _log.warning("threads keep capabilities", extra=fields(threads=len(left), names=",".join(sorted(set(left.values())))))
        lost = needed(before.permitted, maps=_maps(self._procfs)) - after.effective
        if lost:
            cure = "leave --capabilities.keep out, or add needed (docs/capabilities.md)"
            _log.warning("capabilities that are needed are not kept", extra=fields(capabilities=listed(lost), cure=cure))


def kept(keep: Sequence[str], has: capabilities.Sets, procfs: str) -> frozenset[str]:
    """Return the capabilities that the items of ``capabilities.keep`` mean for who has these."""
    found: set[str] = set()
    for name in (name for item in keep for name in item.split(",")):
        if name == "all":
            found |= set(NAMES)
        elif name == "needed":
            found |= needed(has.permitted, maps=_maps(procfs))
        elif name != "none":
            found.add(name.removeprefix("CAP_"))
    return frozenset(found)


def _maps(procfs: str) -> bool:
    return capabilities.maps_need_bpf(number(Path(procfs) / "sys/kernel/unprivileged_bpf_disabled"))


def _of_needs(sets: capabilities.Sets) -> dict[str, bool]:
    return {own.name: own.name in sets.effective for own in NEEDS}
