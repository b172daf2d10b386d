"""Finds how a probe family is proven: the module of its name, with its FAMILY."""

from __future__ import annotations

import importlib
import importlib.util

from perflens.selftest.model import Family

__all__ = ["family_of"]


def family_of(name: str) -> Family | None:
    """Return the family of a probe's name; None when it has none, so that only what holds for every probe can be proven."""
    if not name.isidentifier() or importlib.util.find_spec(f"perflens.selftest.{name}") is None:
        return None
    found = getattr(importlib.import_module(f"perflens.selftest.{name}"), "FAMILY", None)
    return found if isinstance(found, Family) else None
