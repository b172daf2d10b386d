"""The chart's README.md: what it is, and a table of its values from the comments of values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml

__all__ = ["Value", "readme", "values_of"]

_MARK = "# -- "
_HEAD = """<!-- Written by `make chart` from Chart.yaml and values.yaml: do not edit. -->
# {name}

{description}

```sh
kubectl create namespace perflens
kubectl label namespace perflens pod-security.kubernetes.io/enforce=privileged
helm install perflens oci://ghcr.io/perflens/charts/perflens --namespace perflens
helm test perflens --namespace perflens --logs
```

Version {version}, for Kubernetes {kubeVersion}. What it may do and why, how much memory it takes, OpenShift and other distributions:
[Kubernetes](../../docs/kubernetes.md). Without Helm: [deploy/kubernetes](../../deploy/kubernetes).

## Values

| key | type | default | description |
|---|---|---|---|
"""


class Value(NamedTuple):
    """One value: its dotted key, what it is (`text`, `number`, …), the default as JSON, and what the comment above it says."""

    key: str
    kind: str
    default: str
    description: str


def values_of(text: str) -> Iterator[Value]:
    """Yield the values that have a comment `# -- …` right above their key, in order."""
    root, lines = yaml.compose(text), text.split("\n")
    if isinstance(root, yaml.MappingNode):
        yield from _values(root, lines, "")


def _values(node: yaml.MappingNode, lines: list[str], above: str) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{above}{key.value}"
        comment = lines[key.start_mark.line - 1].strip() if key.start_mark.line else ""
        if comment.startswith(_MARK):
            plain = yaml.safe_load(yaml.serialize(value))
            yield Value(path, _kind(plain), json.dumps(plain, ensure_ascii=False), comment.removeprefix(_MARK))
        elif isinstance(value, yaml.MappingNode):
            yield from _values(value, lines, f"{path}.")


def _kind(value: object) -> str:
    names: Mapping[type, str] = {bool: "true or false", int: "number", str: "text", list: "list", dict: "map", type(None): "true or false"}
    return names[type(value)]


def readme(metadata: Mapping[str, str], values: str) -> str:
    """Return the whole page."""
    rows = (f"| `{own.key}` | {own.kind} | {_code(own.default)} | {_cell(own.description)} |\n" for own in values_of(values))
    return _HEAD.format(**metadata) + "".join(rows)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
