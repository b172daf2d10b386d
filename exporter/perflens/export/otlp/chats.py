"""A request to a language model as attributes, by OpenTelemetry's conventions for generative AI: never what was said.

Source: semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md (status Development).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from perflens.analysis import ModelRequest
from perflens.export.otlp.text import cleaned

__all__ = ["LONGEST_MODEL", "of_chat"]

LONGEST_MODEL = 128
_LONGEST_HOST = 253
_PORTS = {"http": 80, "https": 443}
_PROVIDERS = {
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.x.ai": "x_ai",
    "router.huggingface.co": "huggingface",
}
_PROVIDER = "openai"  # whose interface all of them speak: what the conventions say for a server that is not known

Attributes = dict[str, str | int | float | tuple[str, ...]]


def of_chat(request: ModelRequest) -> Attributes:
    """Return the attributes of a request; what is not known is left out."""
    host, port = _server(request.base_url)
    found: Mapping[str, str | int | float | tuple[str, ...] | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(host, _PROVIDER),
        "gen_ai.request.model": cleaned(request.model, LONGEST_MODEL),
        "gen_ai.request.max_tokens": request.most_tokens,
        "gen_ai.output.type": "json" if request.is_json else None,
        "gen_ai.usage.input_tokens": request.input_tokens,
        "gen_ai.usage.output_tokens": request.output_tokens,
        "gen_ai.response.finish_reasons": (request.finish,) if request.finish else None,
        "server.address": cleaned(host, _LONGEST_HOST) or None,
        "server.port": port,
        "error.type": request.error or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _server(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None
