"""export/otlp/variables.py: the standard variables and the configuration."""

from __future__ import annotations

import pytest

from perflens.export.otlp.variables import UnusableSettings, is_enabled, options, server_of

BASE, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        ("", {}, False),
        ("http://a", {}, True),
        ("", {BASE: "http://a"}, True),
        ("", {BASE: " "}, False),
        ("", {TRACES: "http://a"}, True),
        ("", {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ("http://a", {"OTEL_TRACES_EXPORTER": "none"}, False),
        ("http://a", {"OTEL_SDK_DISABLED": "TRUE"}, False),
        ("http://a", {"OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_enabled(endpoint: str, environment: dict[str, str], expected: bool) -> None:
    """An endpoint turns spans on, the standard switches turn them off."""
    assert is_enabled(endpoint, environment) is expected


@pytest.mark.parametrize(
    ("endpoint", "protocol", "environment", "expected"),
    [
        ("http://c:4318", "auto", {}, ("http/protobuf", "http://c:4318/v1/traces")),
        ("http://c:4318/", "auto", {}, ("http/protobuf", "http://c:4318/v1/traces")),
        ("", "auto", {BASE: "http://c/otlp"}, ("http/protobuf", "http://c/otlp/v1/traces")),
        ("", "auto", {BASE: "http://c", TRACES: "http://t/x"}, ("http/protobuf", "http://t/x")),
        ("http://c", "auto", {TRACES: "http://t/x"}, ("http/protobuf", "http://c/v1/traces")),
        ("", "grpc", {BASE: "http://c:4317"}, ("grpc", "http://c:4317")),
        ("http://c", "auto", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("grpc", "http://c")),
        ("http://c", "http/protobuf", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("http/protobuf", "http://c/v1/traces")),
        (
            "http://c",
            "auto",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            ("grpc", "http://c"),
        ),
        ("", "auto", {}, ("http/protobuf", "http://localhost:4318/v1/traces")),
    ],
)
def test_where(endpoint: str, protocol: str, environment: dict[str, str], expected: tuple[str, str]) -> None:
    """The configuration stands over the variables, those of traces over those of all signals."""
    chosen = options(endpoint, protocol, environment)
    assert (chosen.protocol, chosen.endpoint) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "a", "\u0663", "9" * 30])
def test_numbers(text: str) -> None:
    """A number that is none is the default; a batch is never larger than the queue."""
    chosen = options("http://c", "auto", {"OTEL_BSP_MAX_QUEUE_SIZE": text, "OTEL_BSP_SCHEDULE_DELAY": text})
    assert (chosen.queue, chosen.batch, chosen.delay) == (512, 128, 5_000)
    small = options("http://c", "auto", {"OTEL_BSP_MAX_QUEUE_SIZE": "10"})
    assert (small.queue, small.batch) == (10, 10)


def test_compression() -> None:
    """Compressed unless a variable says otherwise."""
    assert options("http://c", "auto", {}).compression == "gzip"
    assert options("http://c", "auto", {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}).compression == "none"


@pytest.mark.parametrize("name", ["PROTOCOL", "COMPRESSION"])
def test_unusable(name: str) -> None:
    """What no package can do is refused, with a cure."""
    with pytest.raises(UnusableSettings) as caught:
        options("http://c", "auto", {f"OTEL_EXPORTER_OTLP_{name}": "brotli"})
    assert "'brotli'" in str(caught.value)
    assert caught.value.cure.startswith("use ")


@pytest.mark.parametrize(("endpoint", "expected"), [("http://u:p@c:1/a", "c:1"), ("c:1", "c:1"), ("http://c/v1/traces", "c")])
def test_server(endpoint: str, expected: str) -> None:
    """Messages name the server and nothing secret."""
    assert server_of(endpoint) == expected
