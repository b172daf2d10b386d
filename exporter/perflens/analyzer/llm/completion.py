"""The body of a chat completion: its text, why it ended, and what it cost. Source: OpenAI's API reference, chat.completion object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Completion", "CompletionError", "Usage", "completion_of"]

_WORD = re.compile(r"[A-Za-z0-9_-]{1,32}")


class CompletionError(Exception):
    """A body that holds no text to read; ``kind`` is how it is counted, ``usage`` what it cost all the same, ``finish`` why it ended."""

    def __init__(self, kind: Literal["invalid", "refused"], reason: str, usage: Usage | None = None, finish: str = "") -> None:
        super().__init__(reason)
        self.kind: Literal["invalid", "refused"] = kind
        self.usage, self.finish = usage, finish


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request as the server counted them."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model said. ``is_cut`` when it ran out of tokens; ``usage`` is None where the server told none.

    ``finish`` is why it ended, in a word of its server: at most 32 characters, empty where it is no word.
    """

    text: str
    is_cut: bool
    usage: Usage | None
    finish: str = ""


def completion_of(body: bytes) -> Completion:
    """Return the completion in the body of an answer; CompletionError when it is refused or none."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CompletionError("invalid", "the body is not JSON") from error
    usage = _usage(_mapping(whole).get("usage"))
    choices = _mapping(whole).get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = _mapping(choice.get("message"))
    finish = choice.get("finish_reason")
    if finish == "content_filter" or message.get("refusal"):
        raise CompletionError("refused", "the model refused", usage, _word(finish))
    text = message.get("content")
    is_cut = finish == "length"
    if not isinstance(text, str) or not (text.strip() or is_cut):  # reasoning_content alone is no answer
        raise CompletionError("invalid", "the completion has no text", usage, _word(finish))
    return Completion(text, is_cut, usage, _word(finish))


def _word(found: Any) -> str:
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""


def _usage(found: Any) -> Usage | None:
    counts = _mapping(found)
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if type(prompt) is int and type(completion) is int and min(prompt, completion) >= 0:
        return Usage(min(prompt, 10**9), min(completion, 10**9))
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
