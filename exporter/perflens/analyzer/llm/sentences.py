"""What a sentence of a model must stand up to: its characters, its names, its numbers and its directions, by the facts that it cites."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from perflens.analysis import Fact
from perflens.analyzer.llm.classes import PROGRAMS
from perflens.analyzer.llm.numbers import Number, is_of, numbers_in

__all__ = ["Fault", "Grounds", "fault_of", "sentences_of"]

Fault = Literal["characters", "entity", "unknown_id", "number", "direction", "uncited"]

_END = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")
_SIGNS = frozenset(" .,;:'\"()+-%/!?~≈×–—→’“”")
_DIGITS = frozenset("0123456789")
_FACT = re.compile(r"\bE\d+\b")
_ALIAS = re.compile(r"\b(?:[DCPFA]\d+|HOST)\b")
_LABEL = re.compile(r"\b(?:p50|p90|p95|p99|p999|ext4|jbd2|cgroup v[12])\b")
_SLASHES = re.compile(r"(?<![A-Za-z_/])(?:I/O|i/o|and/or|read/write|reads/writes|[A-Za-z]+/s)(?![\w/])|(?<=[\d ])/s\b")
_PATH = re.compile(r"/|~[A-Za-z]|(?<!\w)\.\w|\w\.[A-Za-z]{2,}|\w:\w|::")
_DOTTED = re.compile(r"\b(?:e\.g|i\.e)\.", re.IGNORECASE)
_ADDRESS = re.compile(r"\d+\.\d+\.\d|\bwww\b|\bhttps?\b|@", re.IGNORECASE)
_DEVICE = re.compile(r"\b(?:sd[a-z]\d*|x?vd[a-z]\d*|nvme\d\w*|dm-\d+|md\d+|loop\d+|zram\d+|mmcblk\d\w*|kworker\w*)\b", re.IGNORECASE)
_OPTION = re.compile(r"(?<!\w)--?[A-Za-z]")
_PLAIN = "backup find go init ld loop make md migration node nvme sh vector flush java python perl ruby shell"
_COMMANDS = (
    "pid sudo su rm kill killall pkill curl wget chmod chown mkfs umount systemctl journalctl sysctl ionice renice chrt "
    "taskset apt yum dnf pip npm docker kubectl helm bash zsh eval echo reboot shutdown poweroff insmod modprobe iptables nc ncat "
    "netcat ssh scp telnet perl python python3 ruby crontab useradd passwd base64 xargs awk sed swapoff swapon blockdev tee"
)
_NAMES = (frozenset(PROGRAMS) - frozenset(_PLAIN.split())) | frozenset(_COMMANDS.split())
_WORD = re.compile(r"[^\W\d][\w.-]*")
_NUMERALS = re.compile(
    r"\b(?:twice|thrice|doubl\w+|tripl\w+|quadrupl\w+|half|halv\w+|dozens?|hundreds?|thousands?|millions?|billions?|\w+fold"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|twenty|fifty)[ -](?:times|percent|seconds|milliseconds|minutes|hours))\b",
    re.IGNORECASE,
)
_RISES = r"(?:rose|rise[sn]?|rising|increas\w*|grew|grow[sn]?|growing|climb\w*|jump\w*|spik\w*|surg\w*|soar\w*|higher)"
_FALLS = r"(?:fell|fall(?:s|en|ing)?|decreas\w*|declin\w*|dropp?(?:s|ed|ing)?|lower(?:s|ed|ing)?|shr[aiu]nk\w*|plung\w*|sank|diminish\w*)"
_NOT = r"(?:not|n't|n’t|never|no|without|neither|nor)(?:\s+\w+){0,2}\s+"
_NEGATED = re.compile(rf"\b{_NOT}(?:({_RISES})|({_FALLS}))\b|n['’]t(?:\s+\w+){{0,2}}\s+(?:({_RISES})|({_FALLS}))\b", re.IGNORECASE)
_MOVES = re.compile(rf"\b(?:({_RISES})|({_FALLS}))\b", re.IGNORECASE)
_STEADY = 1.25
"""How many times its baseline a number may be that did not rise, and the other way round."""
_SHORTEST_TEXT = 4


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a sentence may speak of: the facts that it cites by id, the pseudonyms and ids of actions, and the codes of causes."""

    cited: Mapping[str, Fact]
    labels: frozenset[str]
    codes: frozenset[str]


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text without the space around them."""
    return [sentence.strip() for sentence in _END.split(text) if sentence.strip()]


def fault_of(sentence: str, grounds: Grounds) -> Fault | None:
    """Return why a sentence cannot be told; None when it can."""
    if not all(map(_may_stand, sentence)):
        return "characters"
    named = _FACT.findall(sentence)
    if any(identity not in grounds.cited for identity in named):
        return "unknown_id"
    rest = _without_ids(sentence, grounds)
    if rest is None or _names_entity(rest):
        return "entity"
    numbers, words = numbers_in(rest)
    if any(unicodedata.numeric(char, None) is not None for char in words) or _NUMERALS.search(words):  # 百 is a letter and a hundred
        return "number"
    if not all(is_of(number, grounds.cited.values()) for number in numbers):
        return "number"
    if not _direction_holds(words, _subjects_of(named, numbers, grounds)):
        return "direction"
    return None if numbers or _speaks_of(sentence, grounds) else "uncited"


def _may_stand(char: str) -> bool:
    """Whether a character may stand in a sentence: letters of any script, digits of ours, and what sentences are pointed with."""
    return char in _SIGNS or char in _DIGITS or char == "_" or unicodedata.category(char) in ("Ll", "Lu", "Lo", "Lm", "Mn", "Mc")


def _without_ids(sentence: str, grounds: Grounds) -> str | None:
    """Return the sentence without ids, pseudonyms, codes and words of the facts; None when one of them does not exist."""
    rest = _FACT.sub(" ", sentence)
    if any(label not in grounds.labels for label in _ALIAS.findall(rest)):
        return None
    rest = _LABEL.sub(" ", _ALIAS.sub(" ", rest))
    for known in (*grounds.codes, *(fact.text for fact in grounds.cited.values() if len(fact.text) >= _SHORTEST_TEXT)):
        rest = re.sub(rf"\b{re.escape(known)}\b", " ", rest)
    return _DOTTED.sub(" ", rest)


def _names_entity(text: str) -> bool:
    """Whether a text has what looks like a path, an address, a process, a device or a command."""
    bare = _SLASHES.sub(" ", text)
    if any(form.search(bare) for form in (_PATH, _ADDRESS, _DEVICE, _OPTION)) or "_" in bare:
        return True
    return any(word.rstrip(".-").lower() in _NAMES for word in _WORD.findall(bare))


def _speaks_of(sentence: str, grounds: Grounds) -> bool:
    """Whether a sentence says anything of what was measured: an id, a pseudonym, a code, or a word of a fact that it cites."""
    if _FACT.search(sentence) or _ALIAS.search(sentence):
        return True
    known = {word.lower() for fact in grounds.cited.values() for word in _WORD.findall(fact.text) if len(word) >= _SHORTEST_TEXT}
    return any(word in grounds.codes or word.lower() in known for word in _WORD.findall(sentence))


def _subjects_of(named: Sequence[str], numbers: Sequence[Number], grounds: Grounds) -> list[Fact]:
    """Return the facts that a sentence is about: those it names or has a number of, else all that it cites."""
    about = [fact for identity, fact in grounds.cited.items() if identity in named or any(is_of(number, [fact]) for number in numbers)]
    return about or list(grounds.cited.values())


def _direction_holds(words: str, facts: Sequence[Fact]) -> bool:
    """Whether each word of rising or falling has a fact that did so."""
    ratios = [ratio for fact in facts if (ratio := fact.ratio) is not None]
    for found in _NEGATED.finditer(words):
        rises = bool(found[1] or found[3])
        if not any(ratio <= _STEADY if rises else ratio >= 1 / _STEADY for ratio in ratios):
            return False
    plain = _MOVES.finditer(_NEGATED.sub(" ", words))
    return all(any(ratio > 1 if found[1] else ratio < 1 for ratio in ratios) for found in plain)
