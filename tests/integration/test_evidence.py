"""A running agent, its spans and its exemplars, with collectors and a Prometheus that are real, and collectors that fail."""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import OPENMETRICS_1_0_0
from tests.integration.collectors import PORTS, Place, free_ports, hanging, overloaded, read
from tests.integration.test_formats import prometheus_of_every_format
from tests.kernel.support import OPERATIONS, Page, RunningAgent, agent, group, scrape
from tests.servers import wait_for
from tests.throttle import Group

SCRAPES = 10
PATIENCE = 3.0  # s; a scrape that takes longer has waited for a collector
EXEMPLAR = re.compile(r' # \{trace_id="([0-9a-f]{32})",span_id="([0-9a-f]{16})"\} (\S+) (\S+)$', re.MULTILINE)
Ids = set[tuple[str, str]]
Throttled = Callable[[], AbstractContextManager[Group]]


@pytest.fixture
def place(collector_binary: str, tmp_path: Path) -> Place:
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    return Place(collector_binary, tmp_path, free_ports())


@contextmanager
def sending(place: Place, protocol: str, *flags: str) -> Iterator[RunningAgent]:
    """An agent whose spans go to this place, without patience."""
    quick = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    others = {name: "" for name in os.environ if name.startswith("OTEL_") or name.lower().endswith("_proxy")}
    to = (f"--otlp.endpoint={place.url(protocol)}", f"--otlp.protocol={protocol}")
    with agent(place.folder, *to, *flags, environment={**others, **quick}) as running:
        yield running


def openmetrics(url: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": OPENMETRICS_1_0_0})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"] == OPENMETRICS_1_0_0
        text: str = answer.read().decode()
    return text


def received(file: Path) -> Ids:
    """The spans that a collector wrote; the last line may be half written."""
    while True:
        try:
            return {(span["traceId"], span["spanId"]) for span, _ in read(file)}
        except ValueError:
            time.sleep(0.05)


@pytest.mark.parametrize("protocol", PORTS)
def test_every_exemplar_is_a_span(place: Place, prometheus_binaries: Path, tmp_path: Path, throttled: Throttled, protocol: str) -> None:
    """Every exemplar of ten scrapes is a span that the collector has, and Prometheus stores them without complaint."""
    began, shown = time.time(), set[tuple[str, str]]()
    with place.collector() as file, sending(place, protocol) as running, throttled():
        target = running.url.removeprefix("http://").removesuffix("/metrics")
        with prometheus_of_every_format(prometheus_binaries, tmp_path, target) as prometheus:
            wait_for(lambda: EXEMPLAR.search(openmetrics(running.url)), 20, "an exemplar")
            for _ in range(SCRAPES):
                text = openmetrics(running.url)
                found = EXEMPLAR.findall(text)
                assert found
                shown |= {(trace, span) for trace, span, _, _ in found}
                assert all(began < float(at) <= time.time() + 0.01 for _, _, _, at in found)
                whole = [line for line in text.splitlines() if line.startswith(OPERATIONS)]  # a part of a slow request may be short
                assert all(float(value) >= 0.005 for _, _, value, _ in EXEMPLAR.findall("\n".join(whole)))
                time.sleep(1)
            stored = {job: exemplars(prometheus, selector(job), began) for job in ("openmetrics", "classic", "native")}
            up = {own["metric"]["job"]: own["value"][1] for own in prometheus.query("min_over_time(up[1m])")}
            with urllib.request.urlopen(f"{prometheus.url}/metrics", timeout=10) as answer:
                own_metrics = answer.read().decode()
            log = (tmp_path / "prometheus.log").read_text()
        every = shown.union(*stored.values())
        wait_for(lambda: every <= received(file), 10, "every exemplar, shown or stored, is a span of the collector")

    assert len(shown) >= SCRAPES
    assert up == dict.fromkeys(("text", "text1", "openmetrics", "native", "classic"), "1")
    assert {job: len(ids) >= 3 for job, ids in stored.items() if job != "native"} == {"openmetrics": True, "classic": True}
    assert stored["native"]  # it skips as many exemplars of a series as the one before it had
    assert re.findall(r"^prometheus_target_scrapes_exemplar_out_of_order_total (\d+)", own_metrics, re.MULTILINE) == ["0"]
    assert [line for line in log.splitlines() if re.search("out.of.order exemplar|adding exemplar", line, re.IGNORECASE)] == []
    assert_ended_well(running)


def selector(job: str) -> str:
    return f'{OPERATIONS}{"" if job == "native" else "_bucket"}{{job="{job}"}}'


def exemplars(prometheus: Any, expression: str, since: float) -> Ids:
    found = prometheus.get("query_exemplars", {"query": expression, "start": str(since), "end": str(time.time() + 1)})
    return {(own["labels"]["trace_id"], own["labels"]["span_id"]) for series in found for own in series["exemplars"]}


def assert_ended_well(running: RunningAgent) -> None:
    """The agent ended by itself, without a failure, and wrote no traceback."""
    log = running.log.read_text()
    assert running.process.wait(5) == 0, log
    assert "Traceback" not in log
    assert [line for line in log.splitlines() if "level=error" in line] == []


@contextmanager
def busy(running: RunningAgent, folder: Path) -> Iterator[None]:
    """A process whose 200 writes a second are all slow, with a threshold of 1 µs."""
    file = folder / "busy.dat"

    def write() -> None:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        while running.process.poll() is None and not (folder / "idle").exists():
            os.pwrite(fd, b"x" * 65_536, 0)
            time.sleep(0.005)

    with group("evidence") as own:
        pid = own.run(write)
        try:
            yield
        finally:
            (folder / "idle").touch()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def quickly(running: RunningAgent) -> Page:
    """A page that came in time, in which every span is accounted for."""
    began = time.monotonic()
    page = scrape(running.url)
    assert time.monotonic() - began < PATIENCE
    lost_or_sent = sum(outcome(page, name) for name in ("exported", "rejected", "failed"))
    assert page.total("perflens_spans_made_total") == lost_or_sent + page.total("perflens_spans_in_queue")
    return page


def outcome(page: Page, name: str) -> int:
    return int(page.total("perflens_spans_total", outcome=name))


@contextmanager
def killed(place: Place, running: RunningAgent) -> Iterator[None]:
    """A real collector that takes some spans and is killed."""
    import signal

    with place.collector("killed", end=signal.SIGKILL):
        wait_for(lambda: outcome(quickly(running), "exported") > 0, 20, "spans are exported")
    yield


Failing = Callable[[Place, str, RunningAgent], AbstractContextManager[None]]
FAILING: dict[str, tuple[str, Failing]] = {
    **{f"absent-{protocol}": (protocol, lambda place, protocol, running: nullcontext()) for protocol in PORTS},
    **{f"hanging-{protocol}": (protocol, lambda place, protocol, running: hanging(place.ports[PORTS[protocol]])) for protocol in PORTS},
    **{f"killed-{protocol}": (protocol, lambda place, protocol, running: killed(place, running)) for protocol in PORTS},
    "overloaded": ("http/protobuf", lambda place, protocol, running: overloaded(place.ports[PORTS[protocol]])),
}


def failures(running: RunningAgent, before: int) -> bool:
    return outcome(quickly(running), "failed") > before


@pytest.mark.parametrize("case", FAILING)
def test_scrapes_go_on_and_spans_come_back(place: Place, tmp_path: Path, case: str) -> None:
    """While a collector fails, pages come in time and spans are counted; the next one gets them without a restart."""
    protocol, fail = FAILING[case]
    with sending(place, protocol, "--threshold=1us") as running, busy(running, tmp_path):
        with fail(place, protocol, running):
            wait_for(partial(failures, running, 0), 20, "spans have failed")
            for _ in range(SCRAPES):
                quickly(running)
                time.sleep(0.1)
        before = quickly(running)
        with place.collector("next") as file:
            wait_for(lambda: outcome(quickly(running), "exported") > outcome(before, "exported"), 30, "spans are exported again")
            shown: Ids = set()
            for _ in range(SCRAPES):
                shown = {(trace, span) for trace, span, _, _ in EXEMPLAR.findall(openmetrics(running.url))}
                time.sleep(0.1)
            wait_for(lambda: shown & received(file), 10, "exemplars are spans of the next collector")
            running.process.terminate()
            assert_ended_well(running)
    assert "spans are exported again" in running.log.read_text()


@pytest.mark.parametrize("case", FAILING)
def test_end_while_it_fails(place: Place, tmp_path: Path, case: str) -> None:
    """SIGTERM ends the agent within 5 s with code 0 though spans wait for a collector that fails."""
    protocol, fail = FAILING[case]
    with sending(place, protocol, "--threshold=1us") as running, busy(running, tmp_path), fail(place, protocol, running):
        wait_for(partial(failures, running, 0), 20, "spans have failed")
        began = time.monotonic()
        running.process.terminate()
        assert running.process.wait(10) == 0
        took = time.monotonic() - began
        assert_ended_well(running)
    assert took < 5


@pytest.mark.parametrize("accepted", FORMATS)
def test_every_format_under_load(place: Place, tmp_path: Path, accepted: str) -> None:
    """An agent that makes spans all the time answers in each format."""
    with place.collector(), sending(place, "http/protobuf", "--threshold=1us") as running, busy(running, tmp_path):
        wait_for(lambda: outcome(quickly(running), "exported") > 0, 20, "spans are exported")
        for _ in range(SCRAPES):
            request = urllib.request.Request(running.url, headers={"Accept": accepted})
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                assert answer.headers["Content-Type"] == accepted
                assert b"perflens_slow_operations" in answer.read()
        running.process.terminate()
        assert_ended_well(running)
