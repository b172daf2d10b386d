"""The file probe, from what the kernel records to what Prometheus reads."""

from __future__ import annotations

import re

import pytest

from perflens.aggregate.family import Family
from perflens.decode.cells import cell_info_decoder
from perflens.enrich.units import unit_of
from perflens.export.prometheus.families import histogram_family, slow_families
from perflens.export.prometheus.text import TEXT
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import CellKey, SeriesKey
from perflens.owner_levels import labels_of
from perflens.probe import Histogram
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

READ, WRITE, FSYNC, SYNC_RANGE, COPY = range(5)
NGINX, POSTGRES = ("system.slice", "nginx.service"), ("docker", "3f4e")


class Pipeline:
    """Record, then expose."""

    def __init__(self) -> None:
        self.cells = FakeCells("file", PROBE, threshold=5_000_000)
        self._decode = cell_info_decoder(object_types(object_path("file", inspect().machine)).struct("cell_info"))
        self.family = Family(self.cells, self._name, limit=100, has_owner=True)
        self.record = self.cells.record

    def _name(self, cell: int, key: CellKey) -> SeriesKey:
        operation = self.cells.operations[key.operation]
        if not key.owner:
            return SeriesKey(operation, "other", "other")
        info = self._decode(self.cells.info(cell))
        return SeriesKey(operation, info.object_name, unit_of(info.path))

    def text(self) -> str:
        self.family.harvest()
        (histogram,) = PROBE.parts
        assert isinstance(histogram, Histogram)
        histograms = histogram_family(histogram, self.family.histograms, labels_of("unit"))(lambda name: True, TEXT)
        return b"".join((*histograms, *slow_families({"file": self.family.slow}, labels_of("unit"))(lambda name: True, TEXT))).decode()


@pytest.fixture
def own() -> Pipeline:
    return Pipeline()


EXPECTED = """\
# HELP perflens_file_operation_duration_seconds Time from the entry of a file system call to its exit, for files that are storage.
# TYPE perflens_file_operation_duration_seconds histogram
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="9.5367431640625e-07"} 1
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="1.9073486328125e-06"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="3.814697265625e-06"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="7.62939453125e-06"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="1.52587890625e-05"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="3.0517578125e-05"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="6.103515625e-05"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.0001220703125"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.000244140625"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.00048828125"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.0009765625"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.001953125"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.00390625"} 2
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.0078125"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.015625"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.03125"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.0625"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.125"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.25"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="0.5"} 3
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="1.0"} 4
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="2.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="4.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="8.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="16.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="32.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="64.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="128.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="256.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="512.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="1024.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="2048.0"} 5
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="4096.0"} 6
perflens_file_operation_duration_seconds_bucket{operation="write",fs="ext4",unit="nginx.service",le="+Inf"} 6
perflens_file_operation_duration_seconds_sum{operation="write",fs="ext4",unit="nginx.service"} 10002.005001908
perflens_file_operation_duration_seconds_count{operation="write",fs="ext4",unit="nginx.service"} 6
# HELP perflens_slow_operations_total Operations that took at least the threshold.
# TYPE perflens_slow_operations_total counter
perflens_slow_operations_total{probe="file",operation="write",unit="nginx.service"} 4
# HELP perflens_slow_operation_seconds_total Time that slow operations took.
# TYPE perflens_slow_operation_seconds_total counter
perflens_slow_operation_seconds_total{probe="file",operation="write",unit="nginx.service"} 10002.005000001
"""


def without_other(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if 'unit="other"' not in line)


def test_page(own: Pipeline) -> None:
    """Buckets are cumulative and inclusive, the sum is exact, what is too long is in the last bucket, slow begins at the threshold."""
    for ns in (953, 954, 5_000_000, 10**9, 10**9 + 1, 10_000 * 10**9):
        own.record(77, "ext4", WRITE, ns, path=NGINX)
    expected = EXPECTED.replace("10002.005001908", f"{(953 + 954 + 5_000_000 + 2 * 10**9 + 1 + 10**13) / 1e9:.9f}")

    assert own.text() == expected


def test_every_operation(own: Pipeline) -> None:
    """Each operation of the C enum has its own series."""
    for number in own.cells.operations:
        for _ in range(number + 1):
            own.record(77, "xfs", number, 1_000, path=NGINX)

    assert re.findall(r'_count\{operation="(\w+)",fs="xfs",unit="nginx.service"\} (\d+)', own.text()) == [
        ("copy", "5"),
        ("fsync", "3"),
        ("read", "1"),
        ("sync_range", "4"),
        ("write", "2"),
    ]
    assert tuple(own.cells.operations) == (READ, WRITE, FSYNC, SYNC_RANGE, COPY)


def test_owners_and_file_systems(own: Pipeline) -> None:
    """Series are told apart by file system and unit; a container without a unit is its cgroup's path."""
    own.record(77, "ext4", READ, 1_000, path=NGINX)
    own.record(77, "nfs4", READ, 1_000, path=NGINX)
    own.record(88, "ext4", READ, 1_000, path=POSTGRES)
    own.record(1, "ext4", READ, 1_000, path=())

    assert re.findall(r"_count\{(.*)\} 1\n", own.text()) == [
        'operation="read",fs="ext4",unit="/"',
        'operation="read",fs="ext4",unit="/docker/3f4e"',
        'operation="read",fs="ext4",unit="nginx.service"',
        'operation="read",fs="nfs4",unit="nginx.service"',
    ]


def test_nothing_was_recorded(own: Pipeline) -> None:
    """Without an operation there are headers and no series: `other` is not shown before it has one."""
    assert [line for line in own.text().splitlines() if not line.startswith("#")] == []
