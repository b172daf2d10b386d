"""Headers of the running kernel for bcc, where the distribution's are not installed: made of the kernel's BTF."""

from __future__ import annotations

import re
import shutil
import subprocess
from ctypes.util import find_library
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel import bcc_headers

_UAPI = ("linux/bpf_common.h", "linux/types.h", "linux/posix_types.h", "linux/stddef.h", "asm-generic")
_ALL = '#include "vmlinux.h"\n'
_EMPTY = ("linux/bpf.h", "linux/if_packet.h", "uapi/linux/bpf.h", "uapi/linux/if_packet.h", "linux/compiler_types.h")
_KCONFIG = "".join(f"#define CONFIG_{name} 1\n" for name in ("BPF_SYSCALL", "MEMCG", "BLK_CGROUP", "X86"))
_PAGE = "#define PAGE_SIZE 4096\n"
_MACROS = {
    "linux/sched.h": "#define NULL ((void *)0)\n#define TS_COMPAT 2\n",
    "linux/sched/signal.h": "",
    "linux/cgroup-defs.h": "",
    "linux/kernfs.h": "",
    "linux/fs.h": "".join(f"#define S_IF{kind}\n" for kind in ("MT 0170000", "REG 0100000", "BLK 0060000", "DIR 0040000")),
    "linux/fdtable.h": "",
    "linux/binfmts.h": "",
    "linux/blkdev.h": "",
    "linux/blk-mq.h": "#define REQ_OP_MASK 0xff\n"
    + "".join(f"#define {name} (1 << __{name})\n" for name in ("REQ_META", "REQ_FUA", "REQ_PREFLUSH", "RQF_FLUSH_SEQ")),
    "linux/bio.h": "",
    "linux/mm_types.h": "",
    "linux/memcontrol.h": "",
    "linux/log2.h": "",
}
_BLOCK = re.compile(r"\s*(?:typedef )?(?:struct|enum|union) (\w+)? ?\{")
_DEFINED = re.compile(rb"^(?:struct|enum|union) (\w+) \{$", re.MULTILINE)
_NUMBERED = re.compile(rb"^(?:\t|#define[ \t]+)(\w+)", re.MULTILINE)


def needs_bcc() -> None:
    """Skip where the system's Python has no bcc."""
    if subprocess.run(["/usr/bin/python3", "-c", "from bcc import BPF"], capture_output=True, check=False).returncode:
        pytest.skip("needs bcc (apt-get install python3-bpfcc)")


def kernel_headers(folder: Path) -> dict[str, str]:
    """The environment in which bcc finds headers of this kernel: those that are installed, else some made in ``folder``."""
    try:
        bcc_headers.find(Path("/proc/sys/kernel/osrelease").read_text().strip())
    except ProbeError:
        _make(folder / "include")
        return {"BCC_KERNEL_SOURCE": str(folder)}
    return {}


def _make(include: Path) -> None:
    bpftool = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    system = Path("/usr/include")
    if not bpftool or not (system / "x86_64-linux-gnu/asm").is_dir():
        pytest.skip("bcc has no headers of this kernel, and none can be made without bpftool and linux-libc-dev on x86_64")
    types = _narrow(*(_dump(bpftool, form) for form in ("c", "raw")))
    for name in _UAPI:
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (system / name).is_dir() else shutil.copy)(system / name, include / name)
    shutil.copytree(system / "x86_64-linux-gnu/asm", include / "asm")
    stddef = include / "linux/stddef.h"
    stddef.write_text(stddef.read_text().replace("#include <linux/compiler_types.h>", ""))
    texts = {name: _ALL + macros for name, macros in _MACROS.items()}
    texts |= dict.fromkeys(_EMPTY, "") | {"linux/kconfig.h": _KCONFIG, "asm/page.h": _PAGE, "linux/version.h": _version()}
    texts |= {"vmlinux.h": _without_bccs_own(types)}
    for name, text in (texts | _traits(types)).items():
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(text)


def _dump(bpftool: str, form: str) -> str:
    command = [bpftool, "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", form]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _narrow(types: str, raw: str) -> str:
    """Enums of one byte or two, which bpftool writes like those of four."""
    names = set(re.findall(r"^\[\d+\] ENUM '(\w+)' .*\bsize=[12] ", raw, re.MULTILINE))
    packed = " __attribute__((packed))"
    return re.sub(r"^(enum (\w+) \{[^}]*\})", lambda own: own[1] + (packed if own[2] in names else ""), types, flags=re.MULTILINE)


def _version() -> str:
    major, minor = Path("/proc/sys/kernel/osrelease").read_text().split(".")[:2]
    macro = "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"
    return f"{macro}#define LINUX_VERSION_CODE KERNEL_VERSION({major}, {minor}, 0)\n"


def _traits(types: str) -> dict[str, str]:
    """What bcc_headers.py looks for, where the types show it."""
    io_start = "/* block_io_start */" if "btf_trace_block_io_start" in types else ""
    ends = "/* sched_process_exit, TP_PROTO(struct task_struct *task, bool group_dead) */" if "bool group_dead;" in types else ""
    forms = {
        "linux/kernfs.h": "/* *__parent; */" if "kernfs_node *__parent;" in types else "",
        "linux/blkdev.h": "/*\n" + types[types.index("\nstruct request_queue {") :].partition("\n};")[0].replace("*/", "") + "\n};\n*/",
        "linux/mm_types.h": "/*\nstruct folio {\n*/" if "\nstruct folio {" in types else "",
        "linux/memcontrol.h": "/*\n" + types[types.index("\nstruct obj_cgroup {") :].partition("\n};")[0] + "\n};\n*/",
    }
    made = {name: f"{_ALL}{_MACROS[name]}{form}\n" for name, form in forms.items()}
    return made | {"trace/events/block.h": io_start, "trace/events/sched.h": ends}


def _without_bccs_own(types: str) -> str:
    """The kernel's types, without those of bpf(2) that bcc brings along."""
    library = Path(f"/usr/lib/x86_64-linux-gnu/{find_library('bcc')}").read_bytes()
    at = library.index(b"#define _UAPI__LINUX_BPF_H__")
    brought = library[at : library.index(b"#endif /* _UAPI__LINUX_BPF_H__ */", at)]
    names = {name.decode() for name in _DEFINED.findall(brought)}
    numbers = {name.decode() for name in _NUMBERED.findall(brought)}
    kept = []
    for block in re.sub(r"#pragma clang attribute.*", "", types).split("\n\n"):
        begin = _BLOCK.match(block)
        if begin and (begin[1] in names or (" enum" in f" {block[:16]}" and numbers & set(re.findall(r"^\t(\w+)", block, re.MULTILINE)))):
            continue
        kept.append(block)
    clash = ("__kernel_fsid_t", "__kernel_fd_set")
    around = ("".join(f"#define {name} own{name}\n" for name in clash), "".join(f"#undef {name}\n" for name in clash))
    return "#ifndef VMLINUX_H\n#define VMLINUX_H\n" + around[0] + "\n\n".join(kept) + "\n" + around[1] + "#endif\n"
