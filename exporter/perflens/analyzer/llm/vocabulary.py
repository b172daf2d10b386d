"""The words a model may choose from: codes of causes and ids of actions, which are the same for every request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from perflens.analysis import FACTS_MAX

__all__ = ["CODES", "FACT_IDS", "UNLISTED", "Vocabulary"]

UNLISTED = "OTHER"
"""The code of an idea that is none of the rules' causes."""

FACT_IDS = tuple(f"E{number:02d}" for number in range(1, FACTS_MAX + 1))
CODES = (
    "DEVICE_SATURATION",
    "NOISY_NEIGHBOUR_IO",
    "SLOW_DEVICE",
    "IO_CGROUP_THROTTLE",
    "FSYNC_JOURNAL_STALL",
    "DIRTY_THROTTLE",
    "QUEUE_OR_WBT_LIMIT",
    "PAGE_CACHE_MISS_STORM",
    "CACHE_THRASH",
    "DIRECT_RECLAIM",
    "SWAP_THRASH",
    "MEMCG_LIMIT",
    "CGROUP_CPU_THROTTLE",
    "RUNQ_SATURATION",
    "CPU_STEAL",
    "INODE_OR_MMAP_LOCK",
    "USER_LOCK",
    "REMOTE_OR_FUSE_FS",
    "SLOW_MEMBER",
    "FS_FULL_OR_FRAGMENTED",
    "READAHEAD_MISMATCH",
    "FORK_EXEC_STORM",
    "IO_PATTERN_CHANGE",
    "FLUSH_OR_DISCARD_STORM",
    "DEVICE_ERRORS",
    "SCHEDULED_JOB",
)
_ACTIONS = MappingProxyType({f"A{number:02d}": "" for number in range(1, 41)})
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Codes that may be named, and the text of each action by its id: of the catalogue as it is, with no name of this host in it."""

    codes: tuple[str, ...] = CODES
    actions: Mapping[str, str] = field(default_factory=lambda: _ACTIONS)

    def __post_init__(self) -> None:
        foreign = [word for word in (*self.codes, *self.actions) if not _WORD.fullmatch(word)]
        if foreign:
            raise ValueError(f"no word of a vocabulary: {foreign[0]!r}")
