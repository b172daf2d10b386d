"""config/file.py: strict YAML, each mistake with its line, key and cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perflens.config import Settings
from perflens.config.settings import Events

TOP = (
    "threshold, cells, loader, web, log, owner, kubernetes, series, events, filter, otlp, analyzer, llm, grafana, "
    "fleet, path, btf, probes or capabilities"
)
DURATION = "write a duration from 1us to 1h8m16s, such as 5ms"
CELLS = "write a whole number from 64 to 65536"
ADDRESS = "is not an address to listen on; write HOST:PORT, such as :9435, 127.0.0.1:9435 or [::1]:9435"
TELEMETRY = "cannot be the path of the metrics; write a path such as /metrics, other than / and outside of /-/ and /api"
COMM = "is no thread name; write 1 to 15 bytes, as ps -o comm shows them"

MISTAKES = {
    # keys
    "thresold: 5ms": "1: unknown key 'thresold'; did you mean threshold?",
    "colour: red": f"1: unknown key 'colour'; write {TOP}",
    "1: 2": f"1: unknown key '1'; write {TOP}",
    "true: 1": f"1: unknown key 'true'; write {TOP}",
    "web:\n  listen-address: [':9435']": "2: web: unknown key 'listen-address'; did you mean listen_address?",
    "cells: 64\nlog: {}\ncells: 64": "3: cells: is given twice, first in line 1; leave one out",
    "log:\n  level: info\n  'level': warn": "3: log.level: is given twice, first in line 2; leave one out",
    "? [a]\n: b": "1: expected the name of a key, found a list; write KEY: VALUE",
    "log:\n  <<: {level: info}": "2: log: merge keys are not allowed; write the keys out",
    "- threshold": "1: expected keys, found a list; write KEY: VALUE, one a line",
    "5": "1: expected keys, found the number '5'; write KEY: VALUE, one a line",
    "threshold 5ms": "1: expected keys, found the text 'threshold 5ms'; write KEY: VALUE, one a line",
    "web: true": "1: web: expected keys, found the boolean 'true'; write KEY: VALUE, one a line",
    # durations
    "threshold: 5": f"1: threshold: '5' has no unit; {DURATION}",
    "threshold: '5'": f"1: threshold: '5' has no unit; {DURATION}",
    "threshold: 5 parsecs": f"1: threshold: '5 parsecs' is not a duration; {DURATION}",
    "threshold: -5ms": f"1: threshold: '-5ms' is not a duration; {DURATION}",
    "threshold: 0s": f"1: threshold: '0s' is out of range; {DURATION}",
    "threshold: 999ns": f"1: threshold: '999ns' is out of range; {DURATION}",
    "threshold: .nan": f"1: threshold: '.nan' is not a duration; {DURATION}",
    "threshold: 99999999h": f"1: threshold: '99999999h' is out of range; {DURATION}",
    "threshold: 1:30": f"1: threshold: '1:30' is not a duration; {DURATION}",
    "threshold: 1.5ns": f"1: threshold: '1.5ns' is not a duration; {DURATION}",
    "threshold:": f"1: threshold: expected a duration, found nothing; {DURATION}",
    "threshold: [5ms]": f"1: threshold: expected a duration, found a list; {DURATION}",
    'threshold: "5\\e[31m"': f"1: threshold: '5\\x1b[31m' is not a duration; {DURATION}",
    "series:\n  expiry: 2d": "2: series.expiry: '2d' is not a duration; write a duration from 1s to 24h, such as 10m",
    # numbers
    "cells: 63": f"1: cells: '63' is out of range; {CELLS}",
    "cells: 65537": f"1: cells: '65537' is out of range; {CELLS}",
    "cells: -64": f"1: cells: '-64' is out of range; {CELLS}",
    "cells: 0100": f"1: cells: '0100' is not a plain decimal number; {CELLS}",
    "cells: 0x40": f"1: cells: '0x40' is not a plain decimal number; {CELLS}",
    "cells: 1_000": f"1: cells: '1_000' is not a plain decimal number; {CELLS}",
    "cells: 1:30": f"1: cells: '1:30' is not a plain decimal number; {CELLS}",
    "cells: 1e3": f"1: cells: '1e3' is not a plain decimal number; {CELLS}",
    "cells: 64.0": f"1: cells: '64.0' is not a plain decimal number; {CELLS}",
    "cells: .nan": f"1: cells: '.nan' is not a plain decimal number; {CELLS}",
    "cells: .inf": f"1: cells: '.inf' is not a plain decimal number; {CELLS}",
    "cells: ٦٤": f"1: cells: '٦٤' is not a plain decimal number; {CELLS}",
    "cells: true": f"1: cells: 'true' is not a plain decimal number; {CELLS}",
    "cells: '4096'": "1: cells: expected a number, found the text '4096'; write it without quotes",
    "cells: ~": f"1: cells: expected a number, found nothing; {CELLS}",
    "cells: {a: 1}": f"1: cells: expected a number, found keys; {CELLS}",
    f"cells: {'9' * 9999}": f"1: cells: '{'9' * 59}…' is not a plain decimal number; {CELLS}",
    # booleans
    "web:\n  enable_lifecycle: 'true'": "2: web.enable_lifecycle: expected true or false, found the text 'true'; write it without quotes",
    "web:\n  enable_lifecycle: yes": "2: web.enable_lifecycle: 'yes' is not a boolean; write true or false",
    "web:\n  enable_lifecycle: True": "2: web.enable_lifecycle: 'True' is not a boolean; write true or false",
    "web:\n  enable_lifecycle: 1": "2: web.enable_lifecycle: '1' is not a boolean; write true or false",
    # texts
    "web:\n  telemetry_path: true": "2: web.telemetry_path: expected text, found the boolean 'true'; write it in quotes",
    "web:\n  telemetry_path: 010": "2: web.telemetry_path: expected text, found the number '010'; write it in quotes",
    "web:\n  telemetry_path: 2024-01-01": "2: web.telemetry_path: expected text, found the date '2024-01-01'; write it in quotes",
    "web:\n  telemetry_path: metrics": f"2: web.telemetry_path: 'metrics' {TELEMETRY}",
    "web:\n  telemetry_path: /": f"2: web.telemetry_path: '/' {TELEMETRY}",
    "web:\n  telemetry_path: /-/ready": f"2: web.telemetry_path: '/-/ready' {TELEMETRY}",
    "web:\n  telemetry_path: /api": f"2: web.telemetry_path: '/api' {TELEMETRY}",
    "web:\n  telemetry_path: /api/v1": f"2: web.telemetry_path: '/api/v1' {TELEMETRY}",
    "web:\n  telemetry_path: /a/../api": f"2: web.telemetry_path: '/a/../api' {TELEMETRY}",
    "web:\n  telemetry_path: '/{x}'": f"2: web.telemetry_path: '/{{x}}' {TELEMETRY}",
    'web:\n  telemetry_path: "/m\\nx"': "2: web.telemetry_path: '/m\\nx' has a character that cannot be printed; leave it out",
    "path:\n  procfs: proc": "2: path.procfs: 'proc' is not an absolute path; write a path that starts with /",
    "path:\n  procfs: ''": "2: path.procfs: '' is not an absolute path; write a path that starts with /",
    "path:\n  cgroupfs: cgroup": "2: path.cgroupfs: 'cgroup' is not an absolute path; write a path that starts with /",
    # lists
    "web:\n  listen_address: :9435": """2: web.listen_address: expected a list, found the text ':9435'; write it as ["…", "…"]""",
    "web:\n  listen_address: []": """2: web.listen_address: expected a list, found an empty list; write it as ["…", "…"]""",
    "web:\n  listen_address: ['9435']": f"2: web.listen_address: '9435' {ADDRESS}",
    "web:\n  listen_address: [':65536']": f"2: web.listen_address: ':65536' {ADDRESS}",
    "web:\n  listen_address:\n  - ::1:9435": f"3: web.listen_address: '::1:9435' {ADDRESS}",
    "web:\n  listen_address:\n  - 80:30": "3: web.listen_address: expected text, found the number '80:30'; write it in quotes",
    "web:\n  listen_address: [':1', ':1']": "2: web.listen_address: ':1' is given twice; leave one out",
    "filter:\n  pid: 5": """2: filter.pid: expected a list, found the number '5'; write it as ["…", "…"]""",
    "filter:\n  pid: [5]": "2: filter.pid: expected text, found the number '5'; write it in quotes",
    "filter:\n  pid: ['0']": "2: filter.pid: '0' is no process id; write a number from 1 to 4194304",
    "filter:\n  pid: ['4194305']": "2: filter.pid: '4194305' is no process id; write a number from 1 to 4194304",
    "filter:\n  comm: ['']": "2: filter.comm: '' is no thread name; write 1 to 15 bytes, as ps -o comm shows them",
    "filter:\n  comm: [sixteen-bytes-xx]": f"2: filter.comm: 'sixteen-bytes-xx' {COMM}",
    "filter:\n  comm: [ééééééééé]": f"2: filter.comm: 'ééééééééé' {COMM}",
    "filter:\n  comm: [a, b, a]": "2: filter.comm: 'a' is given twice; leave one out",
    "filter:\n  cgroup: [system.slice]": (
        "2: filter.cgroup: 'system.slice' is no path of a cgroup; write it as /proc/PID/cgroup shows it, such as /system.slice"
    ),
    "filter:\n  namespace: [Shop]": (
        "2: filter.namespace: 'Shop' is no name of a namespace; write it as kubectl shows it, such as shop or team-*"
    ),
    "filter:\n  pod: ['-x']": "2: filter.pod: '-x' is no name of a pod; write it as kubectl shows it, such as web-0 or web-*",
    "filter:\n  container: ['']": (
        "2: filter.container: '' is no name of a container; write it as kubectl shows it, such as app or istio-*"
    ),
    f"filter:\n  comm: [{', '.join('abcdefghijklmnopq')}]": "2: filter.comm: 'q' is one too many; give at most 16",
    # enumerations
    "log:\n  level: verbose": "2: log.level: unknown value 'verbose'; write debug, info, warn or error",
    "log:\n  level: off": "2: log.level: unknown value 'off'; write debug, info, warn or error",
    "log:\n  format: xml": "2: log.format: unknown value 'xml'; write logfmt or json",
    "owner:\n  level: [unit]": "2: owner.level: expected a name, found a list; write auto, node, unit, workload, pod or container",
    # probes
    "probes:\n  fiel: {}": "2: probes: unknown probe 'fiel'; did you mean file?",
    "probes:\n  nfs: {}": "2: probes: unknown probe 'nfs'; write strict, file or socket",
    "probes:\n  file: [read]": "2: probes.file: expected keys, found a list; write KEY: VALUE, one a line",
    "probes:\n  socket:\n    attach: tp_btf": "3: probes.socket.attach: the probe has no rung 'tp_btf'; write auto or raw_tp",
    "probes:\n  file:\n    thresholds:\n      raed: 1ms": "4: probes.file.thresholds: unknown operation 'raed'; did you mean read?",
    "probes:\n  socket:\n    thresholds: {fsync: 1ms}": "3: probes.socket.thresholds: unknown operation 'fsync'; write read or connect",
    "probes:\n  file:\n    thresholds: {fsync: 1}": f"3: probes.file.thresholds.fsync: '1' has no unit; {DURATION}",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: repr(text[:50]))
def test_mistakes(from_text: Callable[[str], Settings | list[str]], text: str) -> None:
    """A mistake is one problem with its line, its key and its cure, word for word."""
    assert from_text(text) == [f"perflens.yaml:{MISTAKES[text]}"]


def test_all_at_once(from_text: Callable[[str], Settings | list[str]]) -> None:
    """Every mistake of a file is reported, in the order of its lines."""
    found = from_text("cells: 1\nlgo: {}\nweb:\n  listen_address:\n  - x\n  - y\nthreshold: 5\n")
    assert isinstance(found, list)
    assert [line.split(":")[1] for line in found] == ["1", "2", "5", "6", "7"]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "\ufeff", "{}", "web:\n", "probes:\n  file:\n", "web: null\n", "web: ~"]
)
def test_empty(from_text: Callable[[str], Settings | list[str]], text: str) -> None:
    """An empty document, and an empty section, stand for the defaults."""
    assert from_text(text) == Settings()


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("threshold: 1.5s", lambda found: found.threshold, 1_500_000_000),
        ("threshold: '250us'", lambda found: found.threshold, 250_000),
        ("cells: 64", lambda found: found.cells, 64),
        ("web: {listen_address: ['[::1]:0', 'localhost:80']}", lambda found: found.web.listen_address, ("[::1]:0", "localhost:80")),
        ("web:\r\n  enable_lifecycle: true\r\n", lambda found: found.web.enable_lifecycle, True),
        ("web:\n  listen_address:\n  - 127.0.0.1:9435", lambda found: found.web.listen_address, ("127.0.0.1:9435",)),
        ("filter: {comm: [], pid: ['1']}", lambda found: (found.filter.comm, found.filter.pid), ((), ("1",))),
        ("events: {rate: 0, burst: 1, in_progress_after: 1ms}", lambda found: found.events, Events(0, 1, in_progress_after=10**6)),
        ("path: {cgroupfs: ''}", lambda found: found.path.cgroupfs, ""),
        ("probes: {strict: true}", lambda found: found.probes.strict, True),
        ("probes: {file: {attach: raw_tp}}", lambda found: found.probes["file"].attach, "raw_tp"),
        ("probes: {file: {thresholds: {fsync: 1h}}}", lambda found: found.probes["file"].thresholds, {"fsync": 3600 * 10**9}),
    ],
)
def test_values(from_text: Callable[[str], Any], text: str, read: Callable[[Settings], Any], expected: Any) -> None:
    """What is written is what is set."""
    assert read(from_text(text)) == expected
