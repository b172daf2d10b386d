"""What an annotation says: its text, of HTML that Grafana renders, and the tags by which it is found.

The tags of the text are b, br, ul, li and a, and the one link leads to the agent; all that is said of the host is escaped.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from perflens.analysis import Bundle, Fact, Hypothesis, Incident
from perflens.annotate.wording import clean, escaped, quantity

__all__ = ["LONGEST_TEXT", "OPEN", "PERFLENS", "brief_of", "budget_text", "resolved_tags", "tag", "tags_of", "text_of"]

LONGEST_TEXT = 1_500
PERFLENS = "perflens"
OPEN = "state:open"
RESOLVED = "state:resolved"
_LONGEST_TAG = 64
_LONGEST_LINK = 300
_FACTS = 3
_GO_ESCAPES = str.maketrans(dict.fromkeys("<>&", "\\u0000"))  # as long as Go's encoder makes them (encoding/json, HTMLEscape)


def text_of(incident: Incident, external_url: str = "") -> str:
    """Return the text of an incident, of at most 1,500 bytes of UTF-8."""
    link = _link(incident.id, external_url)
    text = f"<b>{_title(incident)}</b><br>{_impact(incident)}{escaped(incident.summary, 360)}"
    items = ""
    for cause in incident.causes[:3]:
        item = f"<li>{_cause(cause, incident.bundle)}</li>"
        if len(f"{text}<ul>{items}{item}</ul>{link}".encode()) <= LONGEST_TEXT:
            items += item
    return f"{text}<ul>{items}</ul>{link}" if items else f"{text}<br>{link}" if link else text


def brief_of(incident: Incident, external_url: str = "") -> str:
    """Return the title and the link alone, for a server that takes no more."""
    link = _link(incident.id, external_url)
    return f"<b>{_title(incident)}</b>{'<br>' if link else ''}{link}"


def budget_text(hidden: int, per_hour: int, per_day: int) -> str:
    """Return the text of the row that stands for the incidents that get none."""
    what = "1 incident is" if hidden == 1 else f"{hidden} incidents are"
    return f"<b>annotation budget reached</b><br>{what} not shown: at most {per_hour} new annotations an hour and {per_day} a day"


def tags_of(incident: Incident) -> tuple[str, ...]:
    """Return the tags: less than 480 bytes of JSON, below Grafana's smallest limit (``[annotations] tags_length``, 500)."""
    tags = (
        PERFLENS,
        tag("host", incident.host),
        tag("incident", incident.id),
        tag("cause", incident.cause),
        tag("severity", incident.severity),
        tag("state", incident.state),
    )
    assert sum(map(_json_size, tags)) + 2 * len(tags) < 480
    return tags


def resolved_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return tags with another state."""
    return tuple(RESOLVED if each == OPEN else each for each in tags)


def tag(key: str, value: str) -> str:
    """Return ``key:value`` in at most 64 bytes. Grafana splits at each colon and forgets the third part, so there is but one."""
    whole = f"{key}:{clean(value).replace(':', '|') or 'unknown'}"
    while _json_size(whole) > _LONGEST_TAG + 2:
        whole = whole[:_LONGEST_TAG] if len(whole) > _LONGEST_TAG else whole[:-1]
    return whole.rstrip()


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).translate(_GO_ESCAPES).encode())


def _title(incident: Incident) -> str:
    parts = [incident.cause, str(incident.subject)]
    if incident.state == "resolved":
        lasted = max(0, incident.last_bad - incident.opened) / 1e9
        return f"{escaped(' on '.join(parts), 200)} ({incident.severity}, resolved after {quantity(lasted, 's')})"
    return f"{escaped(' on '.join(parts), 200)} ({incident.severity})"


def _impact(incident: Incident) -> str:
    impact = incident.bundle.impact
    if not impact.operations:
        slower = f"{quantity(impact.seconds, 's')} slower than usual, nothing over the threshold<br>"
        return slower if impact.seconds else ""
    return f"{quantity(impact.operations, '')} slow operations, {quantity(impact.seconds, 's')} in all<br>"


def _cause(cause: Hypothesis, bundle: Bundle) -> str:
    known = {fact.id: fact for fact in bundle.facts}
    facts = [_fact(known[each]) if each in known else each for each in cause.supporting[:_FACTS]]
    return f"{escaped(cause.claim, 200)} ({escaped('; '.join([cause.confidence, *facts]), 240)})"


def _fact(fact: Fact) -> str:
    text = clean(fact.text)[:60]
    if fact.detail:
        return f"{fact.id} {text} {clean(fact.detail)[:60]} {quantity(fact.value, 's')} before"
    baseline = "" if fact.baseline is None else f", was {quantity(fact.baseline, fact.unit)}"
    return f"{fact.id} {text} {quantity(fact.value, fact.unit)}{baseline}"


def _link(identity: str, external_url: str) -> str:
    """A link to the evidence; empty without a usable URL of the agent's own."""
    base = external_url.rstrip("/")
    if not re.fullmatch(r"https?://[!-~]+", base):
        return ""
    url = escaped(f"{base}/api/v1/incidents?id={quote(identity, safe='')}", 2 * _LONGEST_LINK)
    return f'<a href="{url}">evidence</a>' if len(url) <= _LONGEST_LINK else ""
