"""selfmetrics.py: what the agent says of itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perflens.export.otlp.ledger import OUTCOMES
from perflens.model import AgentStatus, EventCounts, EvidenceCounts, KubernetesCounts, LedgerReading, ProbeState
from perflens.selfmetrics import SelfMetrics

DETAILS = {"overlong": 1, "no_cell": 2, "slot_collision": 3, "name_truncated": 4, "sleep_not_noted": 6}
SPANS = {"exported": 41, "rejected": 43, "failed": 47, "queue_full": 53, "sampled_out": 59, "created": 200, "in_queue": 69}
STATUS = AgentStatus(
    probes=(ProbeState("file", True, "tp_btf", waits=True), ProbeState("block", False, reason="no BTF", cure="…")),
    ledgers={
        "file": LedgerReading(23, {"aggregated": 11, "other": 5, "died": 4}, 3, {("file_exit", "recursion"): 7}, DETAILS, unlisted=8),
        "disk": LedgerReading(0, {"merged": 151}, 0, {}, {"requeued": 139, "held_unknown": 0}, attributed={"memcg": 149}),
    },
    events={"file": EventCounts(61, 67, 71, 72)},
    unattributed={"file": 1_500_000_001},
    evidence=EvidenceCounts(
        read={"file": 73},
        explained={"file": 79},
        unexplained={"file": 83},
        undecodable={"file": 89},
        spans=SPANS,
        frames={"resolved": 97, "unresolved": 101},
        symbols={"helper_restarts": 103, "timeouts": 107, "perf_maps_refused": 109, "learn_skipped": 113},
        evicted={"evidence": 127, "timeline": 131},
        processes=137,
    ),
    cells={"file": (13, 4096)},
    series={"perflens_file_operation_duration_seconds": 17},
    series_dropped={"perflens_file_operation_duration_seconds": 19},
    series_expired={"perflens_file_operation_duration_seconds": 31},
    owners=29,
    owners_unnamed=2,
    owners_cut=37,
    reload_succeeded=False,
    reload_succeeded_at=1_700_000_000.5,
)


def page(status: AgentStatus = STATUS) -> str:
    return b"".join(SelfMetrics(lambda: status).render(lambda name: True)).decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_family_is_well_named() -> None:
    """Each family has a HELP that is a text, a TYPE, and a name with the right suffix; no family appears twice."""
    helps = re.findall(r"^# HELP (\S+) (.+)$", page(), re.MULTILINE)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page(), re.MULTILINE))

    assert [name for name, _ in helps] == list(types)
    assert len(helps) == len(types)
    for name, kind in types.items():
        assert re.fullmatch(r"(perflens|process|python)_[a-z0-9_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not name.endswith(("_count", "_sum", "_bucket"))


def test_own_helps_are_sentences() -> None:
    """The text of each of our own families is a sentence."""
    own = re.findall(r"^# HELP (perflens_\S+) (.*)$", page(), re.MULTILINE)

    assert len(own) >= 15
    assert all(text[0].isupper() and text.endswith(".") for _, text in own)


def test_every_sample_belongs_to_a_family() -> None:
    """No sample stands without the HELP and TYPE of its family."""
    text = page()
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    named = {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")}

    assert named <= families


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("probe_attached", {"probe": "file"}, 1),
        ("probe_attached", {"probe": "block"}, 0),
        ("probe_info", {"probe": "file", "mechanism": "tp_btf"}, 1),
        ("probe_operations_entered_total", {"probe": "file"}, 23),
        ("probe_operations_total", {"probe": "file", "outcome": "aggregated"}, 11),
        ("probe_operations_total", {"probe": "file", "outcome": "other"}, 5),
        ("probe_operations_total", {"probe": "file", "outcome": "died"}, 4),
        ("probe_operations_in_flight", {"probe": "file"}, 3),
        ("probe_missed_total", {"probe": "file", "program": "file_exit", "reason": "recursion"}, 7),
        ("probe_overlong_total", {"probe": "file"}, 1),
        ("probe_no_cell_total", {"probe": "file"}, 2),
        ("probe_slot_collision_total", {"probe": "file"}, 3),
        ("probe_name_truncated_total", {"probe": "file"}, 4),
        ("probe_sleep_not_noted_total", {"probe": "file"}, 6),
        ("probe_in_flight_unlisted", {"probe": "file"}, 8),
        ("probe_operations_total", {"probe": "disk", "outcome": "merged"}, 151),
        ("probe_requeued_total", {"probe": "disk"}, 139),
        ("probe_requests_attributed_total", {"probe": "disk", "method": "memcg"}, 149),
        ("probe_waits_attached", {"probe": "file"}, 1),
        ("probe_waits_attached", {"probe": "block"}, 0),
        ("slow_events_total", {"probe": "file", "outcome": "emitted"}, 61),
        ("slow_events_total", {"probe": "file", "outcome": "suppressed"}, 67),
        ("slow_events_total", {"probe": "file", "outcome": "ring_full"}, 71),
        ("slow_events_total", {"probe": "file", "outcome": "buffer_busy"}, 72),
        ("unattributed_seconds_total", {"probe": "file"}, 1.500000001),
        ("slow_events_read_total", {"probe": "file"}, 73),
        ("slow_events_explained_total", {"probe": "file"}, 79),
        ("slow_events_unexplained_total", {"probe": "file"}, 83),
        ("slow_events_undecodable_total", {"probe": "file"}, 89),
        ("spans_made_total", {}, 200),
        ("spans_total", {"outcome": "exported"}, 41),
        ("spans_total", {"outcome": "rejected"}, 43),
        ("spans_total", {"outcome": "failed"}, 47),
        ("spans_total", {"outcome": "queue_full"}, 53),
        ("spans_total", {"outcome": "sampled_out"}, 59),
        ("spans_in_queue", {}, 69),
        ("user_frames_total", {"outcome": "resolved"}, 97),
        ("user_frames_total", {"outcome": "unresolved"}, 101),
        ("symbol_helper_restarts_total", {}, 103),
        ("symbol_timeouts_total", {}, 107),
        ("symbol_perf_maps_refused_total", {}, 109),
        ("symbol_learn_skipped_total", {}, 113),
        ("evicted_total", {"table": "evidence"}, 127),
        ("evicted_total", {"table": "timeline"}, 131),
        ("processes", {}, 137),
        ("cells_used", {"probe": "file"}, 13),
        ("cells_capacity", {"probe": "file"}, 4096),
        ("series", {"metric": "perflens_file_operation_duration_seconds"}, 17),
        ("series_dropped_total", {"metric": "perflens_file_operation_duration_seconds"}, 19),
        ("owners", {}, 29),
        ("owners_unnamed_total", {}, 2),
        ("config_last_reload_successful", {}, 0),
        ("config_last_reload_success_timestamp_seconds", {}, 1_700_000_000.5),
    ],
)
def test_values(name: str, labels: dict[str, str], value: float) -> None:
    """Each number of the status is a sample."""
    assert samples(page())[f"perflens_{name}", tuple(sorted(labels.items()))] == value


def test_probe_that_is_not_attached_has_no_mechanism() -> None:
    """probe_info has a series for attached probes only."""
    assert [labels for name, labels in samples(page()) if name == "perflens_probe_info"] == [(("mechanism", "tp_btf"), ("probe", "file"))]


def test_build_process_and_interpreter() -> None:
    """The build, the process and the interpreter are there."""
    names = {name for name, _ in samples(page())}

    assert {"perflens_build_info", "process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert any(name.startswith("python_gc_") for name in names)


def test_status_is_read_at_each_scrape() -> None:
    """Each rendering asks for a new status."""
    asked = []

    def read() -> AgentStatus:
        asked.append(1)
        return STATUS

    own = SelfMetrics(read)
    for _ in range(3):
        list(own.render(lambda name: True))

    assert len(asked) == 3


def test_only_what_is_wanted() -> None:
    """A counter is asked for by the name that it is exposed under, and nothing else is rendered."""
    text = b"".join(SelfMetrics(lambda: STATUS).render(lambda name: name in ("perflens_probe_missed_total", "perflens_owners"))).decode()

    assert re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) == ["perflens_probe_missed_total", "perflens_owners"]


def test_without_a_probe() -> None:
    """An agent without a probe still has its families, without samples."""
    empty = AgentStatus((), {}, {}, {}, EvidenceCounts(), {}, {}, {}, {}, 0, 0, 0, True, 0.0)

    assert "# TYPE perflens_probe_attached gauge\n" in page(empty)
    assert not [name for name, _ in samples(page(empty)) if name.startswith("perflens_probe_")]


def test_created_spans_are_no_outcome() -> None:
    """Outcomes are what became of spans: those that were made, and those in the queue, have numbers of their own."""
    assert {dict(labels)["outcome"] for name, labels in samples(page()) if name == "perflens_spans_total"} == set(OUTCOMES)


def test_without_a_collector() -> None:
    """Where nobody asked for spans none were made, and there is no outcome."""
    found = samples(page(replace(STATUS, evidence=EvidenceCounts())))

    assert (found["perflens_spans_made_total", ()], found["perflens_spans_in_queue", ()]) == (0, 0)
    assert not [name for name, _ in found if name == "perflens_spans_total"]


def test_details_of_some_probes() -> None:
    """What means nothing for a probe is not shown of it, and what means nothing for any is not on the page."""
    found = samples(page())

    assert ("perflens_probe_requeued_total", (("probe", "file"),)) not in found
    assert ("perflens_probe_overlong_total", (("probe", "disk"),)) not in found
    assert "perflens_probe_layer_not_noted" not in page()


KUBERNETES = KubernetesCounts(
    up=True,
    lists=2,
    pods={"living": 3, "dead": 5},
    events={"added": 7, "gone": 0},
    errors={"timeout": 11},
    refused=13,
    evicted=17,
    unresolved={"pod": 19, "container": 23},
)


def test_kubernetes() -> None:
    """What the API server told is on the page in a cluster, and nothing of it elsewhere."""
    found = {key: value for key, value in samples(page(replace(STATUS, kubernetes=KUBERNETES))).items() if "kubernetes" in key[0]}

    assert found == {
        ("perflens_kubernetes_watch_up", ()): 1,
        ("perflens_kubernetes_pods", (("state", "living"),)): 3,
        ("perflens_kubernetes_pods", (("state", "dead"),)): 5,
        ("perflens_kubernetes_events_total", (("type", "added"),)): 7,
        ("perflens_kubernetes_events_total", (("type", "gone"),)): 0,
        ("perflens_kubernetes_errors_total", (("reason", "timeout"),)): 11,
        ("perflens_kubernetes_names_unresolved_total", (("of", "pod"),)): 19,
        ("perflens_kubernetes_names_unresolved_total", (("of", "container"),)): 23,
        ("perflens_kubernetes_lists_total", ()): 2,
        ("perflens_kubernetes_pods_refused_total", ()): 13,
        ("perflens_kubernetes_pods_evicted_total", ()): 17,
    }
    assert "kubernetes" not in page()
