"""Finds the probe families: every module of perflens.probes contributes its PROBE."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from perflens import probes
from perflens.errors import LayoutError
from perflens.probe import Probe

__all__ = ["discover"]


def discover() -> Mapping[str, Probe]:
    """Return every probe by name, in alphabetical order; LayoutError for a module without one."""
    found = {}
    for module in pkgutil.iter_modules(probes.__path__):
        probe = getattr(importlib.import_module(f"{probes.__name__}.{module.name}"), "PROBE", None)
        if not isinstance(probe, Probe):
            raise LayoutError(f"perflens.probes.{module.name} has no PROBE")
        found[module.name] = probe
    return MappingProxyType(dict(sorted(found.items())))
