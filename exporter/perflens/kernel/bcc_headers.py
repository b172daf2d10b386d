"""The kernel's headers, which bcc compiles against, and what of them differs between kernels."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from perflens.errors import ProbeError

__all__ = ["find", "traits"]

_TRAITS = {
    "kernfs_parent_by_rcu": ("linux/kernfs.h", r"\*\s*__parent;"),
    "queue_first": ("trace/events/block.h", r"\(block_rq,\s*TP_PROTO\(struct request_queue\b"),
    "bio_after_queue": ("trace/events/block.h", r"\bblock_bio_queue,\s*TP_PROTO\(struct request_queue\b"),
    "has_io_start": ("trace/events/block.h", r"\bblock_io_start\b"),
    "queue_has_disk": ("linux/blkdev.h", r"^struct request_queue \{(?:\n|[^}\n].*\n)*?\s+struct gendisk\s*\*\s*disk;"),
    "has_folios": ("linux/mm_types.h", r"^struct folio \{"),
    "page_has_mem_cgroup": ("linux/mm_types.h", r"struct mem_cgroup\s*\*\s*mem_cgroup;"),
    "objects_of_folios": ("linux/memcontrol.h", r"^struct obj_cgroup \{[^}]*\bis_root;"),
    "exit_tells_group_dead": ("trace/events/sched.h", r"\bsched_process_exit,\s*TP_PROTO\([^)]*\bgroup_dead\b"),
}
"""By the name of the C macro, in small letters: the header that tells, and what is in it if so."""


def find(release: str, modules: Path = Path("/lib/modules")) -> Path:
    """Return the folder of headers that bcc will take for this kernel (BCC_KERNEL_SOURCE, else its modules' folder).

    ProbeError when there are none.
    """
    named = os.environ.get("BCC_KERNEL_SOURCE")
    folder = modules / release
    tried = [Path(named)] if named else [folder / "source", folder / "build"]
    for own in tried:
        if (own / "include" / "linux" / "sched.h").is_file():
            return own / "include"
    raise ProbeError(
        f"bcc has no kernel headers to compile with: no {tried[-1]}",
        f"install the headers of this kernel (Debian, Ubuntu: apt-get install linux-headers-{release}; docs/troubleshooting.md#btf)",
    )


def traits(include: Path) -> Mapping[str, bool]:
    """Return by name of its C macro, in small letters, whether the headers have what it says; ProbeError when one cannot be read."""
    texts: dict[str, str] = {}
    for header, _ in _TRAITS.values():
        try:
            texts[header] = (include / header).read_text(errors="replace")
        except OSError as error:
            raise ProbeError(f"{include / header}: {error.strerror}", "install the headers of this kernel anew") from error
    return {name: re.search(pattern, texts[header], re.MULTILINE) is not None for name, (header, pattern) in _TRAITS.items()}
