"""The file as values: strict YAML, every problem with its line and its cure, and nothing ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import yaml

from perflens.config.document import compose
from perflens.config.durations import nanoseconds
from perflens.config.file import resolved
from perflens.config.source import Unreadable
from perflens.config.wording import either, printable, quoted, suggestion
from perflens.errors import Problem
from perflens.web_config.files import Files
from perflens.web_config.names import HEADERS
from perflens.web_config.nodes import Nodes
from perflens.web_config.settings import RateLimit, WebConfig
from perflens.web_config.tls_section import read_tls

__all__ = ["read"]

_SECTIONS = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 17)
_HTPASSWD = "write what `htpasswd -nBC 10 NAME` prints after the colon, in quotes"
_LONGEST_HEADER = 4_096
_LONGEST_INTERVAL = 86_400 * 10**9


def read(path: str, files: Files) -> tuple[WebConfig, list[Problem]]:
    """Return what the file says, and what is wrong with it; the former is of use only if there is nothing of the latter."""
    name = printable(path)
    try:
        root, problems = compose(files.text(path), name)
    except Unreadable as error:
        return WebConfig(), [Problem(f"{name}:{error.line}" if error.line else name, "", error.message, error.cure)]
    nodes = Nodes(name)
    sections = nodes.section(root, "", _SECTIONS)
    http2, headers = _http(nodes, sections.get("http_server_config"))
    config = WebConfig(
        read_tls(nodes, sections.get("tls_server_config"), path, files),
        http2,
        headers,
        _users(nodes, sections.get("basic_auth_users")),
        _rate(nodes, sections.get("rate_limit")),
    )
    return config, [*problems, *nodes.problems]


def _http(nodes: Nodes, node: yaml.Node | None) -> tuple[bool | None, Mapping[str, str]]:
    path = "http_server_config"
    found = nodes.section(node, path, ("http2", "headers"))
    http2 = nodes.boolean(found["http2"], f"{path}.http2") if "http2" in found else None
    headers = {}
    for name, key, value in nodes.pairs(found.get("headers"), f"{path}.headers"):
        if name not in HEADERS:
            cure = suggestion(name, HEADERS, f"write {either(HEADERS)}")
            nodes.refuse(key, f"{path}.headers", f"the header {quoted(name)} cannot be set", cure)
        elif text := _header(nodes, f"{path}.headers.{name}", value, HEADERS[name]):
            headers[name] = text
    return http2, MappingProxyType(headers)


def _header(nodes: Nodes, key: str, node: yaml.Node, values: tuple[str, ...]) -> str:
    if values:
        return nodes.choice(node, key, values, "")
    if isinstance(node, yaml.ScalarNode) and node.style and not node.value:
        return ""  # not set
    is_number = isinstance(node, yaml.ScalarNode) and resolved(node) == "int"  # as in X-XSS-Protection: 0
    text = node.value if is_number else nodes.text(node, key, "write the header's value in quotes")
    if len(text) > _LONGEST_HEADER or not (text.isascii() and (text.isprintable() or not text)):
        nodes.refuse(node, key, f"{quoted(text)} cannot be the value of a header", "write it on one line, in ASCII")
        return ""
    return text


def _users(nodes: Nodes, node: yaml.Node | None) -> Mapping[str, str]:
    path, users = "basic_auth_users", {}
    for name, key, value in nodes.pairs(node, path):
        dotted = f"{path}.{name if name.isprintable() else quoted(name)}"
        if not name or ":" in name or not name.isprintable():
            nodes.refuse(key, path, f"{quoted(name)} cannot be the name of a user", "write a name without a colon")
            continue
        hashed = nodes.text(value, dotted, _HTPASSWD, secret=True)
        match = _HASH.fullmatch(hashed)
        if hashed and not match:
            nodes.refuse(value, dotted, "is no bcrypt hash", _HTPASSWD)
        elif match and int(match[1]) not in _COSTS:
            message = f"a cost of {match[1]} takes too {'long' if int(match[1]) > _COSTS[-1] else 'short'} to check"
            nodes.refuse(value, dotted, message, f"hash the password anew with a cost from {_COSTS[0]} to {_COSTS[-1]}, such as 10")
        else:
            users[name] = hashed
    return MappingProxyType(users)


def _rate(nodes: Nodes, node: yaml.Node | None) -> RateLimit:
    path = "rate_limit"
    found = nodes.section(node, path, ("interval", "burst"))
    if not found:
        return RateLimit()
    assert node is not None
    for name in ("interval", "burst"):
        if name not in found:
            nodes.refuse(node, path, f"has no {name}", f"add {name}, or leave {path} out")
            return RateLimit()
    interval = _interval(nodes, found["interval"])
    return RateLimit(interval, nodes.number(found["burst"], f"{path}.burst", least=1 if interval else 0))


def _interval(nodes: Nodes, node: yaml.Node) -> int:
    key, cure = "rate_limit.interval", "write a duration from 0s to 24h, such as 100ms"
    if isinstance(node, yaml.ScalarNode) and node.value == "0" and not node.style:
        return 0
    text = nodes.text(node, key, cure)
    interval = nanoseconds(text) if text else 0
    if interval is None or interval > _LONGEST_INTERVAL:
        nodes.refuse(node, key, f"{quoted(text)} is no such duration", cure)
        return 0
    return interval
