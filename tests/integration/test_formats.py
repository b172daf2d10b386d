"""A real Prometheus reads every format: histograms of both kinds, exemplars and times of creation."""

from __future__ import annotations

import math
import re
import subprocess
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from perflens.export.prometheus import negotiate
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.page import Query
from perflens.export.prometheus.text import TEXT
from perflens.model import bucket_bounds
from tests.integration.formats import NAME, Machine, served
from tests.servers import Prometheus, server, wait_for
from tests.unit.export.messages import families

BOUNDS = bucket_bounds()
SCRAPES = 12
PROTOCOLS = {
    "text": ["PrometheusText0.0.4"],
    "text1": ["PrometheusText1.0.0"],
    "openmetrics": ["OpenMetricsText1.0.0"],
    "native": ["PrometheusProto"],
    "classic": ["PrometheusProto"],
}
FEATURES = "exemplar-storage,native-histograms,created-timestamp-zero-ingestion"


@contextmanager
def prometheus_of_every_format(binaries: Path, folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes one target once a second in each format."""
    jobs = [
        {
            "job_name": name,
            "scrape_protocols": protocols,
            "always_scrape_classic_histograms": name == "classic",
            "static_configs": [{"targets": [target]}],
        }
        for name, protocols in PROTOCOLS.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    command = [str(binaries / "prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += ["--web.listen-address=127.0.0.1:0", "--log.level=debug", f"--enable-feature={FEATURES}"]
    with server(command, folder / "prometheus.log", r"Listening on.* address=(127\.0\.0\.1:[1-9]\d*)") as address:
        yield Prometheus(f"http://{address}")


@dataclass
class Seen:
    """What a Prometheus holds after a dozen scrapes in each format, and what it was shown."""

    machine: Machine
    prometheus: Prometheus
    log: Path
    began: float

    def values(self, expression: str) -> dict[str, float]:
        """The value of each owner."""
        return {own["metric"]["unit"]: float(own["value"][1]) for own in self.prometheus.query(expression)}

    def exemplars(self, selector: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Each exemplar with the labels of its series."""
        found = self.prometheus.get("query_exemplars", {"query": selector, "start": str(self.began), "end": str(time.time() + 1)})
        return [(series["seriesLabels"], own) for series in found for own in series["exemplars"]]


@pytest.fixture(scope="module")
def seen(prometheus_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    machine, folder, began = Machine(), tmp_path_factory.mktemp("formats"), time.time()
    with served(machine) as target, prometheus_of_every_format(prometheus_binaries, folder, target) as prometheus:

        def scraped() -> bool:
            counts = prometheus.query("count_over_time(up[1m])")
            return len(counts) == len(PROTOCOLS) and all(float(own["value"][1]) >= SCRAPES for own in counts)

        wait_for(scraped, 60, f"{SCRAPES} scrapes in each format")
        machine.running = False
        own = Seen(machine, prometheus, folder / "prometheus.log", began)
        exact = {key.owner: len(durations) for key, durations in machine.durations.items()}
        for job in PROTOCOLS:
            wait_for(lambda job=job: count(own, job) == exact, 10, f"the last counts are scraped by {job}")  # type: ignore[misc]
        yield own


def count(seen: Seen, job: str) -> dict[str, float]:
    """The operations of each owner, from whichever histogram the job has."""
    selector = f'{{job="{job}"}}'
    return seen.values(f"histogram_count({NAME}{selector})" if job == "native" else f"{NAME}_count{selector}")


def test_every_format_is_taken(seen: Seen) -> None:
    """No scrape failed, and the last of each has the same counts as the others."""
    assert {own["metric"]["job"]: own["value"][1] for own in seen.prometheus.query("min_over_time(up[1m])")} == dict.fromkeys(
        PROTOCOLS, "1"
    )
    assert len({tuple(sorted(count(seen, job).items())) for job in PROTOCOLS}) == 1


@pytest.mark.parametrize("job", ["native", "classic"])
@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.9, 0.99])
def test_native_quantile(seen: Seen, job: str, quantile: float) -> None:
    """A quantile of a native histogram lies in the bucket that holds the exact one."""
    found = seen.values(f'histogram_quantile({quantile}, {NAME}{{job="{job}"}})')

    assert len(found) == len(seen.machine.durations)
    for key, durations in seen.machine.durations.items():
        exact = sorted(durations)[max(math.ceil(quantile * len(durations)) - 1, 0)]
        bucket = min(bisect_left(BOUNDS, exact), len(BOUNDS) - 1)
        below = BOUNDS[bucket - 1] if bucket else 0
        assert below * (1 - 1e-9) <= found[key.owner] * 1e9 <= (BOUNDS[bucket] + 1) * (1 + 1e-9)


def test_sums(seen: Seen) -> None:
    """Sums are those of the operations in native and classic histograms."""
    exact = {key.owner: pytest.approx(sum(durations) / 1e9) for key, durations in seen.machine.durations.items()}

    assert seen.values(f'histogram_sum({NAME}{{job="native"}})') == exact
    for job in ("text", "text1", "openmetrics", "classic"):
        assert seen.values(f'{NAME}_sum{{job="{job}"}}') == exact


def test_classic_buckets_are_the_same_in_every_format(seen: Seen) -> None:
    """Each bucket of each owner has one value, whichever format brought it."""
    spread = seen.prometheus.query(f"max without (job) ({NAME}_bucket) - min without (job) ({NAME}_bucket)")

    assert len(spread) == 34 * len(seen.machine.durations)
    assert {own["value"][1] for own in spread} == {"0"}
    assert len(seen.prometheus.query(f"count by (job) ({NAME}_bucket)")) == 4


def test_exemplars_of_classic_buckets(seen: Seen) -> None:
    """They are stored with their labels, value and time, each at the bucket that holds its value."""
    for job in ("openmetrics", "classic"):
        found = seen.exemplars(f'{NAME}_bucket{{job="{job}"}}')

        assert len(found) >= 3 * SCRAPES
        for series, own in found:
            shown = seen.machine.shown[own["labels"]["trace_id"]]
            bound = float(series["le"])
            assert own["labels"]["span_id"] == shown.span_id
            assert float(own["value"]) == pytest.approx(shown.value / 1e9, rel=1e-12)
            assert own["timestamp"] == pytest.approx(shown.timestamp, abs=0.0021)
            assert float(own["value"]) <= bound
            assert float(own["value"]) > (bound / 2 if math.isfinite(bound) else 4096) or bound == 2.0**-20


def test_exemplars_of_native_histograms(seen: Seen) -> None:
    """They are stored too, all buckets' at one series: of every series where Prometheus keeps the classic buckets as well.

    Where it does not, it skips as many exemplars of a series as the series before it had.
    """
    owners = {key.owner for key in seen.machine.durations}
    for job, expected in (("native", {min(owners)}), ("classic", owners)):
        found = seen.exemplars(f'{NAME}{{job="{job}"}}')

        assert {series["unit"] for series, _ in found} >= expected
        assert len(found) >= 2 * SCRAPES
        assert {own["labels"]["trace_id"] for _, own in found} <= set(seen.machine.shown)


def test_no_exemplar_is_out_of_order(seen: Seen) -> None:
    """Prometheus has nothing to say about any of them, and no warning about anything else on the page."""
    log = seen.log.read_text()
    with urllib.request.urlopen(f"{seen.prometheus.url}/metrics", timeout=10) as answer:
        own = answer.read().decode()

    assert "Experimental in-memory exemplar storage enabled" in log
    assert [
        line for line in log.splitlines() if re.search("level=(WARN|ERROR)|out.of.order exemplar|adding exemplar", line, re.IGNORECASE)
    ] == []
    assert re.findall(r"^prometheus_target_scrapes_exemplar_out_of_order_total (\d+)", own, re.MULTILINE) == ["0"]


def test_times_of_creation(seen: Seen) -> None:
    """Prometheus begins a series with the 0 of its creation, which no text format tells it."""
    first = {own["metric"]["job"]: own for own in seen.prometheus.query(f"min by (job) (min_over_time({NAME}_count[1m]))")}

    assert first["classic"]["value"][1] == "0"
    assert first["text"]["value"][1] != "0"
    assert not seen.prometheus.query('{__name__=~".*_created"}')


def test_page_passes_the_linter(promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """promtool check metrics has nothing to say about it."""
    machine = Machine()
    done = promtool("check", "metrics", input=machine.render(Query(form=TEXT)).decode())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("accepted", FORMATS)
def test_agent_answers_in_every_format(agent: str, accepted: str) -> None:
    """A running agent gives what is asked for, named exactly."""
    request = urllib.request.Request(agent, headers={"Accept": accepted})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body, content_type = answer.read(), answer.headers["Content-Type"]

    assert content_type == accepted
    if accepted == negotiate.PROTOBUF:
        assert {"perflens_build_info", "perflens_slow_operations_total"} <= {own.name for own in families(body)}
    else:
        assert body.startswith(b"# HELP perflens_")
        assert body.endswith(b"\n# EOF\n") == (accepted == negotiate.OPENMETRICS_1_0_0)
