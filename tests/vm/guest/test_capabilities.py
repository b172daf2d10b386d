"""The capabilities of the table are enough on this kernel, and what is kept of them once the probes are attached is too."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perflens.kernel.capabilities import exceeding, of_threads
from tests.kernel.preconditions import attached
from tests.kernel.slow import RATE, cold_file, functions, in_group, program, throttled, wait_for_events
from tests.kernel.support import RunningAgent, agent, closed_ledger, group, wait
from tests.kernel.test_capabilities import ALL, POD, READS, UNIT, gives_cells_back, lasting
from tests.vm.guest.test_events import WAITS, slow_read

LETS_OTHERS_AT_TABLES = (5, 19)  # c8644cd0efe7


def test_tables_need_bpf_before_5_19() -> None:
    """A trial says of the kernel what its version says."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    assert found

    assert ("BPF" in lasting()) == (tuple(map(int, found.groups())) < LETS_OTHERS_AT_TABLES)


@pytest.mark.parametrize("prefix", [POD, UNIT], ids=["pod", "unit"])
def test_the_table_is_enough(prefix: tuple[str, ...], tmp_path: Path, folder: Path) -> None:
    """Every family attaches, counts exactly and names stacks; what hangs is shown, and owners that are gone give their cells back."""
    readable = subprocess.run([*prefix, sys.executable, "-c", "import perflens"], capture_output=True, check=False)
    if readable.returncode:
        pytest.skip("needs a checkout that other users may read")
    with agent(tmp_path, "--probes.strict", "--threshold=100ms", prefix=prefix) as running:
        threads = of_threads(Path(f"/proc/{running.process.pid}/task"))
        assert attached(running) == ALL
        assert exceeding(threads, lasting()) == {}
        assert {sets.effective for _, sets in threads.values()} == {lasting()}
        counts_and_gives_back(running, folder)
        event = slow_read(running.url, program(folder / f"reads-{prefix is POD}"), folder)
        hangs(running, folder)
    log = running.log.read_text()

    assert "vfs_read" in functions(event["kernel_stack"])
    assert "operations in progress cannot be shown" not in log
    assert "upkeep failed" not in log
    assert "Traceback" not in log


def counts_and_gives_back(running: RunningAgent, folder: Path) -> None:
    """Known reads, and owners that are gone then."""
    file = folder / "data"
    file.write_bytes(bytes(4096))
    fd = os.open(file, os.O_RDONLY)
    with group("capabilities") as own:
        wait(own.run(lambda: [os.pread(fd, 1, 0) for _ in range(READS)]))
        assert closed_ledger(running.url).count(own.unit, "read") == READS
    os.close(fd)
    gives_cells_back(running.url, file)


def hangs(running: RunningAgent, folder: Path) -> None:
    """A read that takes seconds, while it does."""
    own, file = program(folder / f"hangs-{running.process.pid}"), cold_file(folder)
    with throttled(folder, reads=RATE // 32) as limited, subprocess.Popen(in_group(limited, own, file, "direct")) as process:
        (event,) = wait_for_events(running.url, 1, seconds=WAITS, in_progress=True, owner=f"/{limited.name}", operation="read")
        process.kill()
    assert event["process"]["pid"] == process.pid
