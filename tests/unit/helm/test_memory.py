"""Requests and limits: what docs/memory.md says, computed by the chart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tables import host_bytes
from perflens.kernel.attached import Sizes
from perflens.registry import discover
from tests.unit.helm.objects import chart

MIB = 1 << 20
INTERPRETER = 55
STEP = 16


def memory(values: dict[str, object]) -> tuple[int, int]:
    """Return request and limit in MiB."""
    resources = chart(values).container()["resources"]
    request, limit = (int(resources[of]["memory"].removesuffix("Mi")) for of in ("requests", "limits"))
    return request, limit


def shards(cpus: int) -> int:
    return 1 << (min(cpus, 8) - 1).bit_length()


@pytest.mark.parametrize("cells", [64, 1_024, 4_096, 65_536])
@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 64, 512])
@pytest.mark.parametrize("pid_max", [301, 32_768, 4_194_304])
def test_memory_holds_the_tables(cells: int, cpus: int, pid_max: int) -> None:
    """The request holds the tables' exact size and the interpreter, with at most a tenth of the tables and 3 MiB to spare."""
    sizes = Sizes(cells, 1 << (min(pid_max, 65_536) - 1).bit_length(), shards(cpus))
    exact = sum(host_bytes(discover(), sizes, cpus).values()) / MIB

    request, _ = memory({"config": {"cells": cells}, "memory": {"possibleCpus": cpus, "pidMax": pid_max}})

    assert exact + INTERPRETER <= request <= 1.1 * exact + INTERPRETER + 3


@pytest.mark.parametrize("kind", ["namespace", "pod", "container"])
@pytest.mark.parametrize("cpus", [1, 128])
def test_memory_holds_the_verdicts_of_a_filter(kind: str, cpus: int) -> None:
    """A filter by names of pods is counted, of whatever kind, and one by others is not."""
    sizes = Sizes(4_096, 65_536, shards(cpus), verdicts=8_192)
    exact = sum(host_bytes(discover(), sizes, cpus).values()) / MIB
    own: dict[str, object] = {"memory": {"possibleCpus": cpus}}

    request, _ = memory({**own, "config": {"filter": {kind: ["shop"]}}})

    assert exact + INTERPRETER <= request <= 1.1 * exact + INTERPRETER + 3
    assert request - memory(own)[0] in (1, 2)
    assert memory({**own, "config": {"filter": {kind: [], "comm": ["cp"]}}}) == memory(own)


def test_limit_holds_the_series_and_the_reserve() -> None:
    """The limit is twice the request, 12,000 bytes for each series that the limit allows, and the reserve, in steps of 16 MiB."""
    request, limit = memory({"config": {"series": {"limit": 10_000}}, "memory": {"reserve": 200}})
    least = 2 * request + 10_000 * 12_000 / MIB + 200

    assert least <= limit < least + STEP + 3
    assert limit % STEP == 0
    assert memory({"memory": {"reserve": 64}})[1] < memory({"memory": {"reserve": 192}})[1]


def test_own_resources_stand_above_the_computed_ones() -> None:
    """What the values set stays; without `computed` there is nothing else."""
    own = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}

    assert chart({"resources": own}).container()["resources"] == own
    assert chart({"memory": {"computed": False}}).container()["resources"] == {"requests": {"cpu": "50m"}}


def test_cpu_is_never_limited() -> None:
    """A throttled agent would lose what it measures."""
    assert set(chart().container()["resources"]["limits"]) == {"memory"}


def test_the_page_has_the_numbers_of_the_chart() -> None:
    """docs/kubernetes.md names the request and the limit of default values."""
    page = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
    request, limit = memory({})

    assert re.search(rf"\b{request} MiB\b", page)
    assert re.search(rf"\b{limit} MiB\b", page)
