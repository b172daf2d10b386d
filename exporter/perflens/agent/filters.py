"""Whose operations are measured: the filters of the configuration as the kernel side takes them."""

from __future__ import annotations

import logging
import os
import struct

from perflens.config import Settings
from perflens.enrich.cgroups import CgroupTree
from perflens.errors import ConfigError, Problem
from perflens.kernel.attach import Tuning
from perflens.logs import fields

__all__ = ["VERDICTS", "cgroup_ids", "look", "names_of", "tuning"]

_log = logging.getLogger("perflens")

VERDICTS = 8_192
"""Cgroups that the kernel side can tell apart by names: 1,000 pods of 3 containers, their sandboxes, and those that are just gone."""

_MOST = 16  # FILTERS_MAX of filter.h
_COMM = 16  # TASK_COMM_LEN


def _padded(values: list[int], length: int) -> list[int]:
    return [*values, *[0] * (length - len(values))]


def _comm(name: str) -> tuple[int, int]:
    low, high = struct.unpack("=QQ", os.fsencode(name).ljust(_COMM, b"\0"))
    return low, high


def cgroup_ids(settings: Settings, tree: CgroupTree) -> list[int]:
    """Return the id of each cgroup that is asked for; 0 for one that does not exist, which no cgroup has."""
    return _padded([tree.id_of(path) for path in settings.filter.cgroup], _MOST)


def look(settings: Settings, tree: CgroupTree) -> None:
    """Log each cgroup that is asked for and does not exist now; ConfigError where the tree is not to be seen, so that none ever would."""
    unseen = [path for path in settings.filter.cgroup if not tree.id_of(path)]
    if unseen and not tree.usable:
        what = f"only a part of the cgroup tree can be seen, at {tree.point}"
        cure = "mount the host's cgroup tree and set path.cgroupfs, or leave the filter out"
        raise ConfigError(tuple(Problem(path, "filter.cgroup", what, cure) for path in unseen))
    for path in unseen:
        cure = "correct filter.cgroup, unless it is made later"
        _log.warning("no such cgroup: nothing is measured of it", extra=fields(path=path, cure=cure))


def names_of(settings: Settings) -> list[str]:
    """Return the kinds of names that are asked for."""
    own = settings.filter
    return [key for key, names in (("namespace", own.namespace), ("pod", own.pod), ("container", own.container)) if names]


def tuning(settings: Settings, tree: CgroupTree) -> Tuning:
    """Return the constants and variables that make the kernel side filter."""
    own = settings.filter
    names = names_of(settings)
    knobs = {
        "has_filters": bool(own.pid or own.comm or own.cgroup or names),
        "filter_pids": len(own.pid),
        "filter_comms": len(own.comm),
        "filter_cgroups": len(own.cgroup),
        "filter_names": bool(names),
        "kernel_frames": settings.events.kernel_frames,
        "user_frames": settings.events.user_frames,
    }
    words = [word for name in own.comm for word in _comm(name)]
    variables = {
        "filter_pid": _padded([int(pid) for pid in own.pid], _MOST),
        "filter_comm": _padded(words, 2 * _MOST),
        "filter_cgroup": cgroup_ids(settings, tree),
    }
    return Tuning(knobs, variables)
