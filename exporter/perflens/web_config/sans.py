"""Subject alternative names of a client's certificate: names, mail addresses, IP addresses and URIs, as the file writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

__all__ = ["names_of", "normal"]

_KINDS = ("DNS", "email", "IP Address", "URI")


def normal(name: str) -> str:
    """An IP address in its shortest form, and every other name as it is."""
    try:
        return ip_address(name.strip()).compressed
    except ValueError:
        return name


def names_of(certificate: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names in what getpeercert() of Python's ssl returned."""
    for kind, name in (certificate or {}).get("subjectAltName", ()):
        if kind in _KINDS:
            yield normal(name)
