"""export/otlp/chats.py and tracing.py: the span of a request to a language model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from perflens.analysis import ModelRequest
from perflens.export.otlp.chats import of_chat
from tests.unit.export.otlp.test_tracing import Sink, balanced, traced

WALL = 1_700_000_000_000_000_000
REQUEST = ModelRequest("https://router.huggingface.co/v1", "Qwen/Qwen2.5-72B-Instruct", WALL, WALL + 5 * 10**8, True, 600, 900, 120, "stop")


def test_span() -> None:
    """A client span of its own trace, by the conventions, with its times."""
    sink = Sink()
    spans = traced(sink)
    spans.chat(REQUEST)
    spans.close()
    (span,) = sink.spans

    assert (span.name, span.kind, span.parent) == ("chat Qwen/Qwen2.5-72B-Instruct", SpanKind.CLIENT, None)
    assert (span.start_time, span.end_time, span.status.status_code) == (WALL, WALL + 5 * 10**8, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.request.model": "Qwen/Qwen2.5-72B-Instruct",
        "gen_ai.request.max_tokens": 600,
        "gen_ai.output.type": "json",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 120,
        "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "router.huggingface.co",
        "server.port": 443,
    }


def test_failure() -> None:
    """A request that failed has the reason and an error for its status; what nobody told is left out."""
    sink = Sink()
    spans = traced(sink)
    failed = replace(REQUEST, base_url="http://[::1]:8080/v1", is_json=False, input_tokens=None, output_tokens=None, finish="", error="429")
    spans.chat(failed)
    spans.close()
    (span,) = sink.spans

    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "Qwen/Qwen2.5-72B-Instruct",
        "gen_ai.request.max_tokens": 600,
        "server.address": "::1",
        "server.port": 8080,
        "error.type": "429",
    }


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://api.groq.com/openai/v1", "api.groq.com", 443),
        ("http://model", "model", 80),
        ("http://x:y", "x", None),
        ("http://[", None, None),
    ],
)
def test_servers(url: str, address: str | None, port: int | None) -> None:
    """Host and port are those of the URL, where they can be read."""
    found = of_chat(replace(REQUEST, base_url=url))

    assert found.get("server.port") == port
    assert found.get("server.address") == (address if port else found.get("server.address"))
    assert all(isinstance(value, (int, float, tuple)) or value.isprintable() for value in found.values())


def test_queue() -> None:
    """Chats take room in the queue of spans, and are counted when there is none."""
    sink = Sink()
    sink.open.clear()
    spans = traced(sink, MAX_QUEUE_SIZE="2", MAX_EXPORT_BATCH_SIZE="1")
    for _ in range(5):
        spans.chat(REQUEST)
    assert spans.counts()["queue_full"] == 3
    assert balanced(spans)
    sink.open.set()
    spans.close()
    assert spans.counts()["exported"] == 2
