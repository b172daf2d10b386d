"""The settings that environment variables make: ``PERFLENS_LOG_LEVEL=debug``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from perflens.config.keys import PREFIX, Key, Section, leaves
from perflens.config.layer import Layer
from perflens.config.thresholds import take_thresholds
from perflens.config.wording import printable, suggestion

__all__ = ["CONFIG_FILE", "from_environment"]

CONFIG_FILE = f"{PREFIX}_CONFIG_FILE"

# Kubernetes puts these into every pod beside a Service whose name begins with "perflens" (its docs: "Accessing the Service").
SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")


def from_environment(environment: Mapping[str, str], tree: Section) -> Layer:
    """What the variables named PERFLENS_* say; an unknown one is an error, unless it is a service link of Kubernetes."""
    layer = Layer()
    known = {key.variable: key for key in leaves(tree) if not key.entry}
    for name in sorted(name for name in environment if name.startswith(f"{PREFIX}_") and name != CONFIG_FILE):
        if name in known:
            take(layer, tree, known[name], environment[name])
        elif not SERVICE_LINK.search(name):
            cure = suggestion(name, (*known, CONFIG_FILE), "unset it")
            layer.refuse(printable(name), "", "unknown environment variable", cure)
    return layer


def take(layer: Layer, tree: Section, key: Key, text: str) -> None:
    if key.path == ("threshold",):
        take_thresholds(layer, tree, text, key.variable)
    else:
        for item in text.split(",") if key.kind == "list" else [text]:
            layer.take(key, item.strip() if key.kind == "list" else item, key.variable)
