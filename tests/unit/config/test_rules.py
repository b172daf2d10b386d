"""config/rules.py: addresses and paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.config.rules import (
    RULES,
    is_address,
    is_agent,
    is_capabilities,
    is_fleet,
    is_kubelet_or_none,
    is_server_or_none,
    is_telemetry_path,
    is_url_or_none,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9435", True),
        (":0", True),
        ("127.0.0.1:65535", True),
        ("[::1]:1", True),
        ("[fe80::1%eth0]:1", True),
        ("host-1.example.org:80", True),
        ("", False),
        (":", False),
        ("9435", False),
        (":65536", False),
        (":-1", False),
        (":+1", False),
        (": 1", False),
        (":1 ", False),
        (":1\n", False),
        (":\u0663", False),
        ("256.0.0.1:1", False),
        ("1.2.3:1", False),
        ("::1:80", False),
        ("[::1]", False),
        ("[::g]:1", False),
        ("[127.0.0.1]:1", False),
        ("-host:1", False),
        ("a..b:1", False),
        ("*:1", False),
        ("http://host:1", False),
    ],
)
def test_address(text: str, expected: bool) -> None:
    """An address is a host, perhaps empty, and a port."""
    assert is_address(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("10.0.0.7", True),
        ("10.0.0.7:10250", True),
        ("node-1.example", True),
        ("node-1:443", True),
        ("fd00::1", True),
        ("fd00::1234", True),
        ("::ffff:10.0.0.7", True),
        ("[fd00::1]", True),
        ("[fd00::1]:10250", True),
        ("https://10.0.0.7", False),
        ("10.0.0.7:0", False),
        ("10.0.0.7:65536", False),
        ("10.0.0.256", False),
        (":10250", False),
        ("fd00::g", False),
        ("fd00:::1", False),
        ("[fd00::1", False),
        ("node-1/pods", False),
        ("user@node-1", False),
        ("node-1\n", False),
        ("a..b", False),
    ],
)
def test_kubelet(text: str, expected: bool) -> None:
    """The address of a kubelet is a host with or without a port; its pattern takes whatever the check takes."""
    assert is_kubelet_or_none(text) is expected
    assert not expected or re.search(RULES["kubernetes", "kubelet"].pattern, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/metrics", True),
        ("/a/b", True),
        ("/apis", True),
        ("/", False),
        ("", False),
        ("metrics", False),
        ("/a/", False),
        ("//a", False),
        ("/a?b", False),
        ("/a%2f", False),
        ("/./api", False),
        ("/-", False),
        ("/-/healthy", False),
        ("/api", False),
        ("/api/v1", False),
    ],
)
def test_telemetry_path(text: str, expected: bool) -> None:
    """The path of the metrics is none of the agent's other paths."""
    assert is_telemetry_path(text) is expected


@given(st.sampled_from(list(RULES.values())), st.text(max_size=20))
def test_pattern_is_no_stricter(rule: object, text: str) -> None:
    """What a rule accepts, its pattern in the schema accepts."""
    pattern, accepts = rule.pattern, rule.accepts  # type: ignore[attr-defined]
    assert not accepts(text) or re.search(pattern, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("http://localhost:4318", True),
        ("https://collector.example.org", True),
        ("http://[::1]:4318/", True),
        ("http://10.0.0.1:4317/otlp/a", True),
        ("localhost:4318", False),
        ("ftp://localhost", False),
        ("http://", False),
        ("http://:4318", False),
        ("http://host:99999", False),
        ("http://user:secret@host", False),
        ("http://host/?token=1", False),
        ("http://host/#a", False),
        ("http://ho st", False),
        ("http://host\n", False),
        ("http://host/\x1b[31m", False),
    ],
)
def test_url(text: str, expected: bool) -> None:
    """A collector is named by a plain URL, in which nothing is secret."""
    assert is_url_or_none(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), ("agents.monitoring.svc:9435", True), ("[::1]:9435", True), (":9435", False), ("agents", False), ("agents:0", False)],
)
def test_name_of_agents(text: str, expected: bool) -> None:
    """It has a host that DNS can be asked for, and a port that can be asked."""
    assert is_server_or_none(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("http://node1:9435", True), ("https://[::1]:9435", True), ("", False), ("node1:9435", False)]
)
def test_url_of_an_agent(text: str, expected: bool) -> None:
    assert is_agent(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("fleet", True), ("eu-1.a", True), ("", False), ("-a", False), ("a b", False), ("a" * 64, False)]
)
def test_name_of_a_fleet(text: str, expected: bool) -> None:
    """It fits into a tag of Grafana."""
    assert is_fleet(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("needed", True),
        ("all", True),
        ("none", True),
        ("BPF", True),
        ("CAP_BPF", True),
        ("BPF,CAP_SYSLOG,needed", True),
        ("CHECKPOINT_RESTORE", True),
        ("", False),
        ("bpf", False),
        ("BPF,", False),
        (",BPF", False),
        ("BPF SYSLOG", False),
        ("BPFS", False),
        ("CAP_all", False),
        ("BPF\n", False),
    ],
)
def test_capabilities(text: str, expected: bool) -> None:
    """Names as capabilities(7) has them, with or without CAP_, and three words; the schema says the same."""
    assert is_capabilities(text) is expected
    assert (re.search(RULES["capabilities", "keep"].pattern, text) is not None and not text.endswith("\n")) is expected
