"""What the API answers without names: each is replaced by an alias, the same name always by the same one.

Every text is a name unless it is known to be a word of PerfLens or of the kernel: what is new is hidden until somebody looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["Aliases", "anonymous"]

_DISK = re.compile(r"(sd|nvme|vd|xvd|hd|dm-|md|loop|zram|nbd|rbd|sr|mmcblk|ram)[a-z0-9]*")
_UNIT = re.compile(r"\.(service|scope|slice|mount|socket|swap)$")
_FRAME = re.compile(r"(?P<name>.*?)(?P<offset>\+0x[0-9a-f]+)?(?: \[(?P<module>.*)\])?", re.DOTALL)
_MODULE = re.compile(r"(?P<name>.*?)\[(?P<pid>[0-9]+)\]", re.DOTALL)
_DURATION = re.compile(r"(?:[0-9]+(?:h|m|s|ms|us|ns))+")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,31}")

_WORDS = frozenset(
    # words of PerfLens, fields of the kernel's numbers, ids without a meaning
    (
        *("id", "probe", "operation", "reason", "mechanism", "device", "state", "severity", "cause", "code", "confidence", "verdict"),
        *("merged_by", "kind", "quality", "polarity", "cursor", "made_at", "supporting", "against"),
        *("text", "command", "risk", "verify"),  # of facts and actions: declared, with placeholders for names
    )
)
_PATHS = frozenset({"path", "program"})


class Aliases:
    """Gives each name of a kind its alias, in the order in which they are met: ``comm-1``, ``comm-2``."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._used: dict[str, int] = {}

    def of(self, kind: str, name: str) -> str:
        """Return the alias of a name; of none it is none."""
        if not name:
            return ""
        alias = self._known.get((kind, name))
        if alias is None:
            self._used[kind] = self._used.get(kind, 0) + 1
            alias = self._known[kind, name] = f"{kind}-{self._used[kind]}"
        return alias

    def unit(self, unit: str) -> str:
        """A systemd unit keeps its kind; a cgroup's path the number of its parts. ``other`` and ``unknown`` are no names."""
        if unit in ("", "/", "other", "unknown", "-"):
            return unit
        return "/".join(self._unit_part(part) for part in unit.split("/"))

    def _unit_part(self, part: str) -> str:
        suffix = _UNIT.search(part)
        return self.of("unit", part) + (suffix[0] if suffix else "")

    def path(self, path: str) -> str:
        """A path keeps the number of its parts."""
        return "/".join(self.of("name", part) for part in path.split("/"))

    def disk(self, disk: str) -> str:
        """A disk keeps its kind."""
        kind = _DISK.fullmatch(disk)
        return self.of(f"{kind[1].rstrip('-')}-disk" if kind else "disk", disk)

    def frame(self, frame: str) -> str:
        """A frame of a program: its function and its file, without the offset."""
        parts = _FRAME.fullmatch(frame)
        assert parts  # everything fits
        return self.of("function", parts["name"]) + (f" [{self.of('file', parts['module'])}]" if parts["module"] else "")

    def subject(self, kind: str, name: str) -> str:
        """Whom the analyzer speaks of."""
        process = _MODULE.fullmatch(name)
        if kind == "process" and process:
            return f"{self.of('comm', process['name'])}[{process['pid']}]"
        match kind:
            case "device":
                return self.disk(name)
            case "owner":
                return self.unit(name)
            case "file":
                return self.path(name)
        return self.of("comm" if kind == "process" else "host", name)


def anonymous(members: Mapping[str, Any], aliases: Aliases | None = None, words: Collection[str] = ()) -> dict[str, Any]:
    """Return the members of a capsule without names. ``words`` are those that the configuration may have as values.

    Kept are numbers, times, PIDs, device numbers, kernel functions, types of file systems and the words of PerfLens.
    """
    walk = _Walk(aliases or Aliases(), frozenset(words))
    return {name: walk.config(member) if name == "config" else walk.value(member, name) for name, member in members.items()}


class _Walk:
    """Replaces the texts of one value after the other."""

    def __init__(self, aliases: Aliases, words: frozenset[str]) -> None:
        self._aliases, self._words = aliases, words

    def config(self, value: Any) -> Any:
        """Values of the configuration: numbers, durations and known words stay."""
        if isinstance(value, Mapping):
            return {key: self.config(own) for key, own in value.items()}
        if isinstance(value, list):
            return [self.config(own) for own in value]
        if not isinstance(value, str) or value in self._words or _DURATION.fullmatch(value):
            return value
        return self._aliases.of("setting", value)

    def value(self, value: Any, name: str) -> Any:
        """Any value of the API below a field of this name."""
        if isinstance(value, Mapping):
            return self._object(value, name)
        if isinstance(value, list):
            return [self.value(own, name) for own in value]
        return self._text(value, name) if isinstance(value, str) else value

    def _object(self, own: Mapping[str, Any], name: str) -> dict[str, Any]:
        kind = str(own["kind"]) if {"kind", "name"} <= set(own) else "owner" if name == "owner" else ""
        found: dict[str, Any] = {
            key: self.value(value, "unit" if (name, key) == ("owner", "path") else key)
            for key, value in own.items()
            if not (kind and key == "name")
        }
        if kind and "name" in own:
            found["name"] = self._aliases.subject(kind, str(own["name"]))
        if "object" in own and own.get("file", {}).get("inode"):
            found["object"] = own["object"]  # the type of the file system that the file lies on; that of a request is its disk
        if isinstance(own.get("metric"), str):
            found |= self._metric(own)
        if "claim" in own:
            found["claim"] = f"{own.get('code', '')}: {found['subject']['name'] or 'the host'}"
        if "summary" in own and "severity" in own:
            found["summary"] = f"{own.get('cause', '')}: {found['subject']['name'] or 'the host'}"
        if set(own) >= {"name", "attached", "mechanism"}:  # a probe; why it is not attached may name files
            found |= {"name": own["name"], "reason": "", "cure": ""}
        return found

    def _metric(self, fact: Mapping[str, Any]) -> dict[str, Any]:
        """A fact: its unit is one of measure, and its metric may be about a disk: ``device.share@sda``."""
        metric, at, disk = fact["metric"].partition("@")
        text = fact.get("text", "")
        alias = self._aliases.disk(disk)
        return {
            "metric": f"{metric}{at}{alias}",
            "text": text.replace(disk, alias) if disk else text,
            "unit": fact.get("unit", ""),
            "source": fact.get("source", ""),
        }

    def _text(self, text: str, name: str) -> str:
        aliases = self._aliases
        match name:
            case "kernel_stack":
                return text
            case "user_stack":
                return aliases.frame(text)
            case "comm" | "process_name":
                return aliases.of("comm", text)
            case "owner" | "unit" | "namespace" | "workload" | "pod" | "container":
                return aliases.unit(text)
            case "disk" | "devices" | "object":
                return aliases.disk(text)
            case "trace_id" | "span_id":
                return ""
            case "source" if text in ("rules", "llm", "rules+llm"):
                return text
            case "version" | "build":
                return text if _VERSION.fullmatch(text) else aliases.of("version", text)
        if name in _PATHS:
            return aliases.path(text)
        return text if name in _WORDS else aliases.of(name, text)
