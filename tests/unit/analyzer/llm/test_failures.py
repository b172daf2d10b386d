"""analyzer/llm/failures.py and completion.py: what an answer says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.llm.completion import Completion, CompletionError, Usage, completion_of
from perflens.analyzer.llm.failures import Failure, FailureKind, RequestFailed, failure_of

NOW = 1_700_000_000.0


def body(code: Any = "", message: Any = "") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "sent", "kind"),
    [
        (400, body("context_length_exceeded"), "context"),
        (400, body("", "This model's maximum context length is 4096 tokens"), "context"),
        (413, b"", "context"),
        (400, body("", "response_format is not supported"), "format"),
        (422, json.dumps({"detail": "bad json_schema"}).encode(), "format"),
        (400, b"failed to parse grammar", "format"),
        (400, json.dumps({"error": "invalid schema"}).encode(), "format"),
        (400, body("", "Unsupported parameter: 'seed'"), "parameter"),
        (400, body("", "temperature must be 1"), "parameter"),
        (400, body("", "model unknown"), "request"),
        (422, b"", "request"),
        (401, body("invalid_api_key"), "auth"),
        (403, b"", "auth"),
        (402, b"", "quota"),
        (429, body("insufficient_quota"), "quota"),
        (429, body("credit_balance_exhausted"), "quota"),
        (429, body("monthly_spend_limit_exceeded"), "quota"),
        (429, body("organization_usage_limit_exceeded"), "quota"),
        (429, body("rate_limit_exceeded"), "rate"),
        (429, b"[]", "rate"),
        (404, body("not_found_error"), "config"),
        (405, b"", "config"),
        (307, b"", "config"),
        (204, b"", "config"),
        *((status, b"", "transient") for status in (408, 409, 425, 500, 502, 503, 504, 529, 599)),
    ],
)
def test_kind(status: int, sent: bytes, kind: FailureKind) -> None:
    found = failure_of(status, sent, {}, NOW)
    assert (found.kind, found.status, found.retry_after) == (kind, status, None)


@pytest.mark.parametrize(
    ("message", "parameter"),
    [
        ("'max_tokens' is not supported, use 'max_completion_tokens'", "max_tokens"),
        ("seed is not supported", "seed"),
        ("temperature does not support 0", "temperature"),
    ],
)
def test_parameter(message: str, parameter: str) -> None:
    assert failure_of(400, body("", message), {}, NOW).parameter == parameter


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:40 GMT"}, 20.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:40 -0000"}, 20.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"ratelimit": '"api";r=0;t=55'}, 56.0),
        ({"retry-after": "soon", "ratelimit": '"api"; t=5'}, 6.0),
        ({"retry-after": "1e999"}, 86_400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"ratelimit": "x"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert failure_of(429, b"", headers, NOW).retry_after == seconds


@given(st.sampled_from((400, 401, 422, 429, 500)), st.binary(), st.text(), st.text())
def test_any_answer_is_classified(status: int, sent: bytes, after: str, limit: str) -> None:
    failure_of(status, sent, {"retry-after": after, "retry-after-ms": after, "ratelimit": limit}, NOW)


def test_what_the_server_wrote_is_not_kept() -> None:
    """Servers repeat tokens in their messages."""
    found = failure_of(401, body("hf_secret", "Incorrect API key provided: hf_secret"), {}, NOW)
    assert "hf_secret" not in f"{found!r} {RequestFailed(found)!r}"
    assert str(found) == "auth (HTTP 401)"
    assert str(Failure("timeout")) == "timeout"


def completion(message: Any, finish: str = "stop", **rest: Any) -> bytes:
    return json.dumps({"choices": [{"finish_reason": finish, "message": message}], **rest}).encode()


def test_completion() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    assert completion_of(completion({"content": "hi"}, usage=usage)) == Completion("hi", False, Usage(9, 4), "stop")
    assert completion_of(completion({"content": "hi", "refusal": None})) == Completion("hi", False, None, "stop")
    assert completion_of(completion({"content": ""}, "length")) == Completion("", True, None, "length")


@pytest.mark.parametrize(
    "usage", [None, [], {"prompt_tokens": 1}, {"prompt_tokens": "1", "completion_tokens": 2}, {"prompt_tokens": -1, "completion_tokens": 2}]
)
def test_usage_that_cannot_be_read(usage: Any) -> None:
    assert completion_of(completion({"content": "hi"}, usage=usage)).usage is None


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (completion({"content": "x"}, "content_filter"), "refused"),
        (completion({"content": None, "refusal": "no"}), "refused"),
        (completion({"content": "", "reasoning_content": "x"}), "invalid"),
        (completion({"content": [{"text": "x"}]}), "invalid"),
        (completion({}), "invalid"),
        (completion(None), "invalid"),
        (b'{"choices": []}', "invalid"),
        (b"[]", "invalid"),
        (b"", "invalid"),
        (b"\xff", "invalid"),
        (b"[" * 50_000, "invalid"),
    ],
)
def test_no_completion(sent: bytes, kind: str) -> None:
    with pytest.raises(CompletionError) as raised:
        completion_of(sent)
    assert raised.value.kind == kind
