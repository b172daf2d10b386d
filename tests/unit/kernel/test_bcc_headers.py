"""kernel/bcc_headers.py: where headers are, and what is read off them."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel.bcc_headers import find, traits

# What kernels have at the places that differ, shortened; none of it is read beyond these lines.
OLD = {
    "linux/kernfs.h": "struct kernfs_node {\n\tstruct kernfs_node\t*parent;\n};\n",
    "trace/events/block.h": "DECLARE_EVENT_CLASS(block_rq,\n\n\tTP_PROTO(struct request_queue *q, struct request *rq),\n"
    "TRACE_EVENT(block_bio_queue,\n\n\tTP_PROTO(struct request_queue *q, struct bio *bio),\n",
    "linux/blkdev.h": "struct request {\n\tstruct gendisk *rq_disk;\n};\nstruct request_queue {\n\tstruct request *last;\n};\n"
    "struct later {\n\tstruct gendisk *disk;\n};\n",
    "linux/mm_types.h": "struct page {\n\tstruct mem_cgroup *mem_cgroup;\n};\n",
    "linux/memcontrol.h": "struct obj_cgroup {\n\tstruct mem_cgroup *memcg;\n};\nbool is_root;\n",
    "trace/events/sched.h": "DEFINE_EVENT(sched_process_template, sched_process_exit,\n\t     TP_PROTO(struct task_struct *p),\n"
    "TRACE_EVENT(other, TP_PROTO(bool group_dead))\n",
}
NEW = {
    "linux/kernfs.h": "struct kernfs_node {\n\tstruct kernfs_node __rcu *__parent;\n};\n".replace(" __rcu *", "\t__rcu *"),
    "trace/events/block.h": "DECLARE_EVENT_CLASS(block_rq,\n\n\tTP_PROTO(struct request *rq),\nDEFINE_EVENT(block_rq, block_io_start,\n"
    "DEFINE_EVENT(block_bio, block_bio_queue,\n\tTP_PROTO(struct bio *bio),\n",
    "linux/blkdev.h": "struct request_queue {\n\tunion {\n\t\tint first;\n\t};\n\n\tstruct gendisk\t\t*disk;\n};\n",
    "linux/mm_types.h": "struct page {\n};\n\nstruct folio {\n};\n",
    "linux/memcontrol.h": "struct obj_cgroup {\n\tstruct mem_cgroup *memcg;\n\tbool is_root;\n};\n",
    "trace/events/sched.h": "TRACE_EVENT(sched_process_exit,\n\n\tTP_PROTO(struct task_struct *p, bool group_dead),\n",
}
OF_OLD = {"queue_first", "bio_after_queue", "page_has_mem_cgroup"}
OF_NEW = {"kernfs_parent_by_rcu", "has_io_start", "queue_has_disk", "has_folios", "objects_of_folios", "exit_tells_group_dead"}


def made(folder: Path, texts: dict[str, str]) -> Path:
    """A folder of headers."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("texts", "expected"), [(OLD, OF_OLD), (NEW, OF_NEW)], ids=["old", "new"])
def test_traits(tmp_path: Path, texts: dict[str, str], expected: set[str]) -> None:
    """Each form of a kernel is told from what its headers have, and from nothing that stands elsewhere in them."""
    found = traits(made(tmp_path, texts))
    assert {name for name, has in found.items() if has} == expected
    assert set(found) == OF_OLD | OF_NEW


def test_header_that_cannot_be_read(tmp_path: Path) -> None:
    """It is named."""
    made(tmp_path, OLD)
    (tmp_path / "linux/blkdev.h").unlink()
    with pytest.raises(ProbeError, match=r"linux/blkdev\.h: No such file or directory"):
        traits(tmp_path)


@pytest.mark.parametrize("folder", ["source", "build"])
def test_headers_of_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Debian has the sources' headers apart from those that are made, others all at one place."""
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    made(tmp_path / "6.1" / folder / "include", {"linux/sched.h": ""})
    assert find("6.1", tmp_path) == tmp_path / "6.1" / folder / "include"


def test_headers_of_another_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another one are none; the message names the place and the package."""
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    made(tmp_path / "6.1/build/include", {"linux/sched.h": ""})
    with pytest.raises(ProbeError, match=f"no kernel headers to compile with: no {tmp_path}/6.2/build") as raised:
        find("6.2", tmp_path)
    assert "apt-get install linux-headers-6.2" in raised.value.cure


def test_headers_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bcc's own variable goes before."""
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path / "own"))
    made(tmp_path / "6.1/build/include", {"linux/sched.h": ""})
    with pytest.raises(ProbeError, match=f"no {tmp_path}/own"):
        find("6.1", tmp_path)
    made(tmp_path / "own/include", {"linux/sched.h": ""})
    assert find("6.1", tmp_path) == tmp_path / "own/include"
