"""config/show.py: settings as the file that gives them back."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.config import Settings, show, values
from perflens.config.settings import (
    Analyzer,
    Btf,
    Capabilities,
    Events,
    Filter,
    Fleet,
    Grafana,
    Kubernetes,
    Llm,
    Log,
    Otlp,
    OwnerSettings,
    Path,
    Probes,
    ProbeSettings,
    Series,
    Web,
)

SECOND = 10**9
THRESHOLDS = st.integers(1_000, 4_096 * SECOND)
PATHS = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))).map("/".__add__)
ADDRESSES = st.tuples(st.sampled_from(["", "localhost", "127.0.0.1", "[::1]"]), st.integers(0, 65_535)).map(lambda at: f"{at[0]}:{at[1]}")


def tables(operations: list[str]) -> st.SearchStrategy[MappingProxyType[str, int]]:
    return st.dictionaries(st.sampled_from(operations), THRESHOLDS).map(MappingProxyType)


def probes(operations: list[str], rungs: list[str]) -> st.SearchStrategy[ProbeSettings]:
    return st.builds(ProbeSettings, st.booleans(), st.sampled_from(rungs), tables(operations))


FILE = probes(["read", "write", "fsync", "sync_range", "copy"], ["auto", "tp_btf", "raw_tp"])
SOCKET = probes(["read", "connect"], ["auto", "raw_tp"])
RATES = st.integers(1, 100_000)
FRAMES = st.integers(1, 127)
COMMS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=15) | st.sampled_from(["kø", "true", "5"])


def lists(items: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(items, max_size=16, unique=True).map(tuple)


FILES = PATHS | st.just("")
URLS = st.sampled_from(["", "http://localhost:4318", "https://[::1]/a"])
BY_NAME = st.fixed_dictionaries({}, optional={"file": FILE, "socket": SOCKET}).map(MappingProxyType)
SETTINGS = st.builds(
    Settings,
    THRESHOLDS,
    st.integers(64, 65_536),
    st.sampled_from(["auto", "libbpf", "bcc"]),
    st.builds(
        Web,
        st.lists(ADDRESSES, min_size=1, max_size=3, unique=True).map(tuple),
        st.from_regex(r"/m[a-z.~-]{0,9}", fullmatch=True),
        st.just("") | PATHS,
        st.booleans(),
    ),
    st.builds(Log, st.sampled_from(["debug", "info", "warn", "error"]), st.sampled_from(["logfmt", "json"])),
    st.builds(OwnerSettings, st.sampled_from(["auto", "node", "unit", "workload", "pod", "container"])),
    st.builds(
        Kubernetes,
        st.sampled_from(["auto", "on", "off"]),
        st.sampled_from(["api", "kubelet"]),
        st.sampled_from(["", "node-1"]),
        URLS,
        FILES,
        FILES,
        st.sampled_from(["", "10.0.0.7", "fd00::1", "node-1:443"]),
        FILES,
        st.booleans(),
    ),
    st.builds(Series, st.integers(16, 100_000), st.integers(SECOND, 86_400 * SECOND)),
    st.builds(Events, st.integers(0, 1_000_000), RATES, RATES, st.integers(10**6, 4_096 * SECOND), FRAMES, FRAMES),
    st.builds(Filter, lists(st.integers(1, 4_194_304).map(str)), lists(COMMS), lists(PATHS)),
    st.builds(Otlp, URLS, st.sampled_from(["auto", "http/protobuf", "grpc"])),
    st.builds(Analyzer, st.booleans(), FILES),
    st.builds(
        Llm,
        URLS,
        st.sampled_from(["m", "Qwen/Qwen2.5-72B-Instruct", "openai/gpt-oss-20b:groq"]),
        FILES,
        st.integers(SECOND, 600 * SECOND),
        st.integers(1, 10),
        st.integers(1_000, 100_000_000),
        st.sampled_from(["alias", "names"]),
        st.sampled_from(["", "These hosts run databases: 'a' # b", "kø"]),
        FILES,
    ),
    st.builds(Grafana, URLS, FILES, URLS, FILES, st.integers(1, 1_000), st.integers(1, 10_000)),
    st.builds(
        Fleet,
        st.sampled_from(["", "perflens-agents.monitoring.svc:9435", "[::1]:9435"]),
        lists(st.sampled_from(["http://node1:9435", "https://[::1]:1/a"])),
        st.sampled_from(["http", "https"]),
        FILES,
        FILES,
        st.integers(SECOND, 600 * SECOND),
        st.sampled_from(["fleet", "eu-1.example", "5"]),
        FILES,
    ),
    st.builds(Path, PATHS, PATHS, PATHS | st.just("")),
    st.builds(Btf, PATHS | st.just("")),
    st.builds(Probes, st.booleans(), BY_NAME),
    st.builds(Capabilities, st.lists(st.sampled_from(["needed", "all", "none", "BPF,SYSLOG"]), min_size=1, unique=True).map(tuple)),
)


@settings(deadline=None)
@given(SETTINGS)
def test_round_trip(from_text: Callable[[str], Settings | list[str]], own: Settings) -> None:
    """What show writes, load reads back as the same settings."""
    assert from_text(show(own)) == own


@settings(deadline=None)
@given(SETTINGS)
def test_values(own: Settings) -> None:
    """The values are those of the file that show writes."""
    assert texts(values(own)) == yaml.load(show(own), Loader=yaml.BaseLoader)  # noqa: S506  (it makes nothing but texts)


def texts(value: Any) -> Any:
    """The same with every scalar as the file writes it."""
    if isinstance(value, dict):
        return {name: texts(own) for name, own in value.items()}
    if isinstance(value, list):
        return [texts(own) for own in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_text() -> None:
    """Durations, lists and texts are shown as people write them."""
    probe = ProbeSettings(thresholds=MappingProxyType({"fsync": 20_000_000}))
    text = show(Settings(threshold=1_500_000_000, probes=Probes(by_name=MappingProxyType({"file": probe}))))
    assert text.startswith(
        'threshold: 1s500ms\ncells: 4096\nloader: auto\nweb:\n  listen_address: [":9435"]\n  telemetry_path: "/metrics"\n'
    )
    assert text.endswith(
        "probes:\n  strict: false\n  file:\n    enabled: true\n    attach: auto\n    thresholds:\n      fsync: 20ms\n"
        'capabilities:\n  keep: ["needed"]\n'
    )
