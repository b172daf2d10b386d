"""The JSON schema of an answer: one of three, by how many facts were sent, so that a server compiles its grammar three times at most.

Only keywords that every server takes: type, properties, required, additionalProperties, items and enum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, get_args

from perflens.analysis import Verdict
from perflens.analyzer.llm.aliases import ALIASES
from perflens.analyzer.llm.vocabulary import FACT_IDS, UNLISTED, Vocabulary

__all__ = ["CAUSE_KEYS", "CONFIDENCES", "OUTLINE", "REPLY_KEYS", "VERDICTS", "schema_of"]

VERDICTS: tuple[str, ...] = get_args(Verdict)
CONFIDENCES = ("low", "medium", "high")
REPLY_KEYS = ("verdict", "summary", "summary_evidence", "causes", "unknowns")
CAUSE_KEYS = ("code", "subject", "culprit", "victim", "claim", "evidence", "against", "confidence", "actions")
OUTLINE = (
    '{"verdict":"incident|benign|insufficient_evidence","summary":"at most 400 characters","summary_evidence":["E.."],'
    '"causes":[{"code":"a candidate code or OTHER","subject":"D1","culprit":"C1 or empty","victim":"C1 or empty",'
    '"claim":"at most 240 characters","evidence":["E.."],"against":["E.."],"confidence":"low|medium|high","actions":["ids listed"]}],'
    '"unknowns":["text"]}\nall keys, at most 3 causes, 4 actions and 3 unknowns'
)
"""The schema in few tokens, for servers that take no schema."""


_STEP = 20


def schema_of(vocabulary: Vocabulary, sent: Collection[str] = FACT_IDS) -> dict[str, Any]:
    """Return the schema for an answer to the facts that were sent: with the first 20, 40 or all ids, as some servers bill its tokens."""
    last = max((number for number, identity in enumerate(FACT_IDS, 1) if identity in sent), default=1)
    facts = _list(_choice(FACT_IDS[: -(-last // _STEP) * _STEP]))
    culprits = ("", *(alias for alias in ALIASES if alias[0] in "PC"))
    cause = _object(
        code=_choice((*vocabulary.codes, UNLISTED)),
        subject=_choice(ALIASES),
        culprit=_choice(culprits),
        victim=_choice(culprits),
        claim=_TEXT,
        evidence=facts,
        against=facts,
        confidence=_choice(CONFIDENCES),
        actions=_list(_choice(vocabulary.actions)),
    )
    return _object(verdict=_choice(VERDICTS), summary=_TEXT, summary_evidence=facts, causes=_list(cause), unknowns=_list(_TEXT))


_TEXT = {"type": "string"}


def _choice(values: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}
