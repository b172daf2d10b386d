"""The block probe, from what the kernel records to what Prometheus reads."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from perflens.agent import Agent
from perflens.config import Settings
from perflens.enrich.cgroups import CgroupTree
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.page import Query
from perflens.kernel.attached import Sizes, object_path, object_types
from perflens.kernel.features import inspect
from perflens.layout import enum_labels
from perflens.model import OWNER_UNKNOWN, Exemplar
from perflens.probe import Histogram, Total
from perflens.probes.block import PROBE
from perflens.testing import FakeCells
from tests.evidence import evidence

TYPES = object_types(object_path("block", inspect().machine))
READ, WRITE, FLUSH, DISCARD, OTHER = range(5)
HELD, QUEUE, DEVICE, LAYER, BYTES = range(5)
OWNER = 77
MS = 1_000_000


@pytest.fixture
def cells() -> FakeCells:
    """Cells in this process's memory, laid out as the compiled object says."""
    return FakeCells("block", PROBE, cells=128)


@pytest.fixture
def agent(cells: FakeCells) -> Iterator[Agent]:
    """The whole agent over these cells."""
    with patch("perflens.agent.running.attach", lambda *_, **__: cells):
        agent = Agent(Settings(), inspect(), {"block": PROBE}, CgroupTree("/nowhere"))
        agent.start()
    yield agent
    agent.explainer.close()
    agent.stop()


def done(cells: FakeCells, operation: int, held: int, queue: int, device: int, size: int, owner: int = OWNER, disk: str = "sda") -> None:
    """A request, as the kernel side counts it."""
    for part, value in enumerate((held, queue, device)):
        cells.record(owner, disk, operation, value, part=part)
    cells.record(owner, disk, operation, size, part=BYTES)


def samples(agent: Agent, name: str) -> list[tuple[str, str]]:
    """Return (labels, value) of each sample of this name."""
    return re.findall(rf"^{name}(?:\{{(.*)\}})? (.+)$", agent.page.render(Query()).decode(), re.MULTILINE)


def test_each_request_is_in_each_part(cells: FakeCells, agent: Agent) -> None:
    """Held, queue and device have every request once, with its own time in each; bytes are a counter; a layer counts bios alone."""
    done(cells, READ, 1, 20, 300, 4_096)
    done(cells, READ, 2, 30, 400, 8_192)
    done(cells, FLUSH, 0, 5, 50, 0)
    cells.record(OWNER, "dm-0", READ, 1_000, part=LAYER)
    read, flush = (f'operation="{operation}",device="sda",unit="a.service"' for operation in ("read", "flush"))

    for part, seconds in (("held", "0.000000003"), ("queue", "0.000000050"), ("device", "0.000000700")):
        name = f"perflens_block_{part}_duration_seconds"
        assert samples(agent, f"{name}_count") == [(flush, "1"), (read, "2")]
        assert (read, seconds) in samples(agent, f"{name}_sum")
    assert samples(agent, "perflens_block_bytes_total") == [(flush, "0"), (read, "12288")]
    assert samples(agent, "perflens_block_layer_duration_seconds_count") == [('operation="read",device="dm-0",unit="a.service"', "1")]


def test_requests_are_counted_once(cells: FakeCells, agent: Agent) -> None:
    """The ledger has each request once, whatever its parts; what is slow is told by the whole of it."""
    done(cells, WRITE, 0, 0, 6 * MS, 512)
    done(cells, WRITE, 0, 0, 1, 512)
    cells.record(OWNER, "dm-0", READ, 1_000, part=LAYER)

    assert ('outcome="aggregated",probe="block"', "2.0") in samples(agent, "perflens_probe_operations_total")
    assert samples(agent, "perflens_probe_operations_entered_total") == [('probe="block"', "2.0")]
    assert ('probe="block",operation="write",unit="a.service"', "1") in samples(agent, "perflens_slow_operations_total")


def test_owner_that_nobody_knows(cells: FakeCells, agent: Agent) -> None:
    """What is nobody's has an owner of its own, which is no gap in the names."""
    done(cells, WRITE, 0, 0, 1, 512, owner=OWNER_UNKNOWN)

    assert samples(agent, "perflens_block_device_duration_seconds_count") == [('operation="write",device="sda",unit="unknown"', "1")]
    assert samples(agent, "perflens_owners_unnamed_total") == [("", "0.0")]


def test_series_are_told_by_metric(cells: FakeCells, agent: Agent) -> None:
    """Each metric says how many series it has, with those of `other`."""
    done(cells, READ, 1, 1, 1, 1)
    cells.record(OWNER, "dm-0", READ, 1, part=LAYER)
    cells.record(OWNER, "dm-1", READ, 1, part=LAYER)
    found = {labels: int(float(value)) - 5 for labels, value in samples(agent, "perflens_series") if "block" in labels}

    assert found == {f'metric="perflens_{name}"': 2 if "layer" in name else 1 for name in PROBE.metrics}


def test_without_a_free_cell(cells: FakeCells, agent: Agent) -> None:
    """Each part has its own `other` series."""
    for owner in range(1, 40):
        done(cells, READ, 1, 2, 3, 4, owner=owner)
    counts = dict(samples(agent, "perflens_block_queue_duration_seconds_count"))

    assert sum(map(int, counts.values())) == 39
    assert int(counts['operation="read",device="other",unit="other"']) == 39 - (128 - 40) // 4
    assert ('outcome="other",probe="block"', "17.0") in samples(agent, "perflens_probe_operations_total")


def test_oldest_in_flight(cells: FakeCells, agent: Agent) -> None:
    """A request that the device does not answer is seen, though its thread may be gone; it is no operation of a thread in progress."""
    cells.begin(2**22 + 7, OWNER, WRITE, time.monotonic_ns() - 30_000 * MS)
    agent.maintain()
    ((labels, age),) = samples(agent, "perflens_oldest_in_flight_seconds")

    assert labels == 'probe="block",operation="write",unit="unknown"'
    assert float(age) == pytest.approx(30, abs=1)
    assert samples(agent, "perflens_probe_operations_in_flight") == [('probe="block"', "1.0")]


def test_exemplar_goes_to_the_longest_part(cells: FakeCells, agent: Agent) -> None:
    """The span of a slow request is shown where most of its time is, with that part's time."""
    done(cells, READ, 0, 8 * MS, 2 * MS, 512)
    blocked = {"held": 0, "queue": 8 * MS, "device": 2 * MS}
    own = evidence(probe="block", object_name="sda", blocked=blocked, unit="a.service")
    agent._exported([(own, Exemplar("a" * 32, "b" * 16, 10 * MS, time.time()))])
    found = re.findall(r"^(\S+)_bucket.*# \{trace_id.*\} (\S+) ", agent.page.render(Query(form=OPENMETRICS)).decode(), re.MULTILINE)

    assert [(name, float(value)) for name, value in found] == [("perflens_block_queue_duration_seconds", 0.008)]


def test_requests_tell_no_waits(cells: FakeCells, agent: Agent) -> None:
    """Requests wait for nothing but what their parts say, and time of them is never unattributed."""
    done(cells, READ, 1, 2, 3, 4)

    assert samples(agent, "perflens_operation_wait_seconds_total") == []
    assert samples(agent, "perflens_unattributed_seconds_total") == []
    assert {labels for labels, _ in samples(agent, "perflens_probe_requests_attributed_total")} == {
        f'method="{method}",probe="block"' for method in ("submitter", "blkcg", "memcg", "flush", "unknown")
    }


def test_parts_have_the_names_of_the_object() -> None:
    """The parts are in the order in which the object numbers them."""
    parts = enum_labels("block_part", TYPES.enum("block_part"))

    assert [parts[number] for number in range(len(PROBE.parts))] == [part.name.split("_")[1] for part in PROBE.parts]


def test_operations_are_those_of_diskstats_and_the_rest() -> None:
    """Labels come from the object."""
    assert list(enum_labels("block_operation", TYPES.enum("block_operation")).values()) == ["read", "write", "flush", "discard", "other"]


@pytest.mark.parametrize("part", PROBE.parts, ids=lambda part: part.name)
def test_every_part_is_labelled_by_device(part: Histogram | Total) -> None:
    """The object of a cell is the disk."""
    assert part.object_label == "device"


def test_what_ends_requests_is_attached_before_what_begins_them() -> None:
    """A request that is seen to begin is seen to end."""
    for rung in PROBE.rungs:
        begins = [at for at, program in enumerate(rung.programs) if re.search("_(start|insert_begins|issue_begins)_", program)]
        ends = [at for at, program in enumerate(rung.programs) if re.search("_(done|complete_ends)_", program)]
        assert begins
        assert max(ends) < min(begins)


def test_declaration() -> None:
    """The part that is counted is the device's, which ends with the request; the tables are smaller than those of operations."""
    part = PROBE.parts[PROBE.counted]

    assert isinstance(part, Histogram)
    assert part.name == "block_device_duration_seconds"
    assert Sizes(4_096, 65_536, 8).fit(PROBE) == Sizes(2_048, 65_536, 4, ring=1 << 22)
