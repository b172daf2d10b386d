"""agent.py: the upkeep, over cells of this test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from perflens import agent as module
from perflens.agent import Agent
from perflens.config import Settings
from perflens.kernel.features import inspect
from perflens.probes.file import PROBE
from perflens.testing import FakeCells


class FakeTree:
    """A tree in which every cgroup of ``gone`` was removed."""

    usable, point = True, "/"

    def __init__(self) -> None:
        self.gone: set[int] = set()

    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool:
        return cgroup_id in self.gone

    def find(self, cgroup_id: int) -> tuple[str, ...] | None:
        return None


class Own:
    def __init__(self) -> None:
        self.tree, self.cells, self.now = FakeTree(), FakeCells("file", PROBE), 100.0
        self.agent = Agent(Settings(), inspect(), {"file": PROBE}, self.tree)  # type: ignore[arg-type]
        own = module._Running("file", PROBE, self.cells, inspect().machine, self.agent._owners, self.agent.settings)
        self.agent._running.append(own)
        self.family = own.family

    def maintain(self, times: int) -> None:
        for _ in range(times):
            self.now += 2.0
            self.agent.maintain()

    def units(self) -> set[str]:
        return {key.owner for key, _ in self.family.histograms} - {"other"}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    made = Own()
    monkeypatch.setattr("perflens.agent.time.monotonic", lambda: made.now)
    yield made
    made.agent.worker.shutdown()


def test_owner_is_forgotten_in_the_end(own: Own) -> None:
    """An owner that is gone leaves nothing behind but its series, which expire too."""
    own.cells.record(77, "ext4", 0, 1_000)
    own.maintain(5)
    assert len(own.agent._owners) == 1
    own.tree.gone.add(77)
    own.maintain(6)
    assert len(own.agent._owners) == 0
    assert own.units() == {"a.service"}
    own.maintain(310)
    assert own.units() == set()
    assert own.agent.status().ledgers["file"].outcomes["aggregated"] == 1


def test_last_operation_keeps_the_name(own: Own) -> None:
    """An operation that ends after its cgroup was removed, seen by the kernel without a path, is counted under the known name."""
    own.cells.record(77, "ext4", 0, 1_000)
    own.maintain(5)
    own.tree.gone.add(77)
    own.maintain(1)
    own.cells.record(77, "ext4", 0, 1_000, complete=False)
    own.maintain(1)

    assert own.units() == {"a.service"}
    assert own.family.counts() == (2, 0)
