"""Compiles a program with bcc, in a process of its own that ends when it is done: what bcc takes does not stay with the agent.

It runs alone, under the interpreter that bcc is installed for: nothing of perflens is imported. It reads a request in JSON from
standard input ({"text", "programs"}) and answers on the socket that its argument names: JSON of one line ({"failed", "reason"} or
{"failed": "", "programs", "tables", "peak_kib"}), with the file descriptors of those programs that the text has, then of its tables.
What the compiler says goes to standard error.
"""

from __future__ import annotations

import array
import ctypes
import json
import resource
import socket
import sys
from collections.abc import Iterable, Mapping


def _answer(to: socket.socket, content: Mapping[str, object], descriptors: Iterable[int] = ()) -> None:
    found = list(descriptors)
    data = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", found))] if found else []
    to.sendmsg([json.dumps(content).encode() + b"\n"], data)


def main(fd: int) -> None:
    """Answer the request that is read, on the socket ``fd``."""
    to = socket.socket(fileno=fd)
    request = json.load(sys.stdin)
    try:
        from bcc import BPF
        from bcc.libbcc import lib
    except (ImportError, OSError) as error:  # OSError: without its library
        return _answer(to, {"failed": "import", "reason": str(error)})
    try:
        module = BPF(text=request["text"])
    except Exception as error:  # bcc raises nothing else
        return _answer(to, {"failed": "compile", "reason": str(error)})
    programs, tables = {}, {}
    for name in request["programs"]:
        if lib.bpf_function_start(module.module, name.encode()):  # else it is for other kernels
            try:
                programs[name] = module.load_func(name.encode(), BPF.RAW_TRACEPOINT).fd
            except Exception as error:  # likewise
                return _answer(to, {"failed": "load", "reason": str(error)})
    lib.bpf_num_tables.restype, lib.bpf_num_tables.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    lib.bpf_table_name.restype, lib.bpf_table_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t]
    for number in range(lib.bpf_num_tables(module.module)):
        name = lib.bpf_table_name(module.module, number)
        tables[name.decode()] = lib.bpf_table_fd(module.module, name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = {"failed": "", "programs": list(programs), "tables": list(tables), "peak_kib": peak}
    return _answer(to, answer, [*programs.values(), *tables.values()])


if __name__ == "__main__":
    main(int(sys.argv[1]))
