"""The causes that are known: each module declares one, and is found by itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from perflens.analyzer.cause import Cause

__all__ = ["discover"]


@cache
def discover() -> Mapping[str, Cause]:
    """Return the causes by code."""
    names = sorted(module.name for module in iter_modules(__path__))
    found = [import_module(f"{__name__}.{name}").CAUSE for name in names]
    return MappingProxyType({cause.code: cause for cause in found})
