"""config/flags.py and config/thresholds.py: one flag for each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from perflens.config import Catalogue, Parser, Settings, add_flags, load
from perflens.config.keys import leaves, tree
from perflens.errors import ConfigError

DURATION = "write a duration from 1us to 1h8m16s, such as 5ms"
ALL = "file.read, file.write, file.fsync, file.sync_range, file.copy, socket.read or socket.connect"

MISTAKES = {
    "--threshold=5": f"--threshold: threshold: '5' has no unit; {DURATION}",
    "--threshold=": f"--threshold: threshold: '' is not a duration; {DURATION}",
    "--threshold=-5ms": f"--threshold: threshold: '-5ms' is not a duration; {DURATION}",
    "--threshold=connetc=1ms": "--threshold: threshold: unknown operation 'connetc'; did you mean connect?",
    "--threshold=mmap=1ms": f"--threshold: threshold: unknown operation 'mmap'; write {ALL}",
    "--threshold==1ms": f"--threshold: threshold: unknown operation ''; write {ALL}",
    "--threshold=read=1ms": "--threshold: threshold: several probes have an operation 'read'; write file.read or socket.read",
    "--threshold=fsync=": f"--threshold: probes.file.thresholds.fsync: '' is not a duration; {DURATION}",
    "--threshold=file.read=0s": f"--threshold: probes.file.thresholds.read: '0s' is out of range; {DURATION}",
    "--cells=1_000": "--cells: cells: '1_000' is not a plain decimal number; write a whole number from 64 to 65536",
    "--log.level=x": "--log.level: log.level: unknown value 'x'; write debug, info, warn or error",
    "--probes.socket.attach=tp_btf": "--probes.socket.attach: probes.socket.attach: the probe has no rung 'tp_btf'; write auto or raw_tp",
    "--path.sysfs=sys": "--path.sysfs: path.sysfs: 'sys' is not an absolute path; write a path that starts with /",
    "--path.sysfs=/\udcff": "--path.sysfs: path.sysfs: '/\\udcff' has a character that cannot be printed; leave it out",
    "--config.file=": "'': there is no such file; create it, or name another with --config.file",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes(from_arguments: Callable[..., Settings | list[str]], argument: str) -> None:
    """A value that cannot be taken is one problem with its flag, its key and its cure."""
    assert from_arguments([argument]) == [MISTAKES[argument]]


@pytest.mark.parametrize(
    ("arguments", "read", "expected"),
    [
        (["--threshold=1h"], lambda found: found.threshold, 3600 * 10**9),
        (["--threshold", "7ms"], lambda found: found.threshold, 7_000_000),
        (["--threshold=7ms,fsync=2ms", "--threshold=file.read=1ms"], lambda found: found.threshold, 7_000_000),
        (["--threshold=7ms,fsync=2ms"], lambda found: found.probes["file"].thresholds, {"fsync": 2_000_000}),
        (["--threshold= file.read = 1ms "], lambda found: found.probes["file"].thresholds, {"read": 1_000_000}),
        (["--threshold=socket.read=1ms"], lambda found: found.probes["socket"].thresholds, {"read": 1_000_000}),
        (["--web.listen-address=:1", "--web.listen-address=:2"], lambda found: found.web.listen_address, (":1", ":2")),
        (["--web.telemetry-path=/m"], lambda found: found.web.telemetry_path, "/m"),
        (["--web.enable-lifecycle"], lambda found: found.web.enable_lifecycle, True),
        (["--web.enable-lifecycle", "--no-web.enable-lifecycle"], lambda found: found.web.enable_lifecycle, False),
        (["--no-probe.file"], lambda found: found.probes["file"].enabled, False),
        (["--no-probe.file", "--probe.file"], lambda found: found.probes["file"].enabled, True),
        (["--probes.file.attach=raw_tp"], lambda found: found.probes["file"].attach, "raw_tp"),
        (["--cells=64", "--cells=65"], lambda found: found.cells, 65),
        (["--probes.strict"], lambda found: found.probes.strict, True),
        (["--path.cgroupfs="], lambda found: found.path.cgroupfs, ""),
    ],
)
def test_values(from_arguments: Callable[..., Any], arguments: list[str], read: Callable[[Settings], Any], expected: Any) -> None:
    """What a flag says is what is set; of a flag given twice the last counts."""
    assert read(from_arguments(arguments)) == expected


def test_help(catalogue: Mapping[str, Catalogue]) -> None:
    """The help names every flag, with the text and the default of its key."""
    parser = Parser(prog="perflens")
    add_flags(parser, catalogue)
    words = " ".join(parser.format_help().split())
    for key in leaves(tree(catalogue)):
        if not key.entry:
            assert key.flag in words
            assert key.help in words
    assert words.count("(default: ") == 1 + sum(not key.entry for key in leaves(tree(catalogue)))
    assert "(default: 5ms)" in words
    assert "--no-probe.file Turn --probe.file off." in words


def test_unknown_argument() -> None:
    """A flag that reaches load without the parser is checked as well."""
    with pytest.raises(ConfigError, match=r"^--cels: unknown flag; did you mean --cells\?$"):
        load({"--cels": ["64"]}, {}, None, {})
