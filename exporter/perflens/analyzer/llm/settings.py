"""What the operator says of the language model, and where its token comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from perflens.errors import ConfigError, Problem
from perflens.private import LONGEST_TOKEN, read_private

__all__ = ["DEFAULT_BASE_URL", "DEFAULT_MODEL", "LlmSettings", "Mode", "Token", "token_from"]

Mode = Literal["alias", "names"]

DEFAULT_BASE_URL = "https://router.huggingface.co/v1"
DEFAULT_MODEL = "Qwen/Qwen2.5-72B-Instruct"
_VARIABLE = "HF_TOKEN"
_KEY = "llm.token_file"


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """How to ask a model. ``timeout`` is in seconds, of a whole explanation; ``input_tokens`` and ``output_tokens`` are of one request.

    ``operator_prompt`` stands after the rules of the system prompt. ``headers`` are sent with each request. ``price_in`` and ``price_out``
    are in USD for a million tokens, None where nobody said. ``cache_path`` is empty for a cache in memory alone.
    """

    base_url: str = DEFAULT_BASE_URL
    model: str = DEFAULT_MODEL
    token: str = field(default="", repr=False)
    timeout: float = 25.0
    max_requests_per_minute: int = 10
    max_requests_per_hour: int = 60
    tokens_per_day: int = 200_000
    input_tokens: int = 2_000
    output_tokens: int = 600
    mode: Mode = "alias"
    operator_prompt: str = ""
    cache_path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    price_in: float | None = None
    price_out: float | None = None

    @property
    def is_usable(self) -> bool:
        """Whether there is somebody to ask. The default service takes no request without a token; one's own server may."""
        return bool(self.base_url and self.model and (self.token or self.base_url.rstrip("/") != DEFAULT_BASE_URL))


@dataclass(frozen=True, slots=True)
class Token:
    """A token, empty where there is none; ``hint`` is then what may have become of it."""

    value: str = field(default="", repr=False)
    hint: str = ""


def token_from(environment: Mapping[str, str], file: str = "") -> Token:
    """Return the token in a file, or without one that of HF_TOKEN; ConfigError when what the operator named holds none."""
    if file:
        return Token(_checked(file, read_private(file, _KEY).decode("latin-1")))
    if sent := environment.get(_VARIABLE, "").strip():
        return Token(_checked(_VARIABLE, sent))
    if "SUDO_USER" in environment:
        return Token(hint="sudo drops HF_TOKEN; use sudo --preserve-env=HF_TOKEN or llm.token_file")
    return Token()


def _checked(source: str, text: str) -> str:
    token = text.strip()
    if not token:
        raise _refused(source, "is empty", "write the token of the model's provider into it")
    if len(token) > LONGEST_TOKEN or any(not "!" <= char <= "~" for char in token):
        raise _refused(source, "holds no token", "write one word of at most 4096 letters, digits and signs into it")
    return token


def _refused(source: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(source, _KEY, message, cure),))
