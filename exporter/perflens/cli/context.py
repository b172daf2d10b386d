"""What every subcommand starts from: the probes, their catalogue for the configuration, and the environment."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from perflens.agent import operations_of
from perflens.config import Catalogue, Settings, collected, load
from perflens.errors import ConfigError, LayoutError, Problem
from perflens.kernel.features import Host, inspect
from perflens.kernel.loaders import btf_file
from perflens.probe import Probe
from perflens.registry import discover

__all__ = ["Context", "operations_named"]


@dataclass(frozen=True, slots=True)
class Context:
    """The probes by name, what the configuration may say of them, and the environment."""

    probes: Mapping[str, Probe]
    catalogue: Mapping[str, Catalogue]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Context:
        """Discover the probes; one whose object is missing has no operations that could be configured."""
        probes = discover()
        return cls(probes, {name: _catalogue(name, probe) for name, probe in probes.items()}, environment)

    def settings(self, arguments: argparse.Namespace, defaults: Mapping[tuple[str, ...], Any] = MappingProxyType({})) -> Settings:
        """Return the configuration, with the defaults of a command that has others; ConfigError with every problem of it."""
        return load(collected(arguments), self.environment, None, self.catalogue, defaults)

    @staticmethod
    def host(settings: Settings) -> Host:
        """Look at this host as the configuration shows it; ConfigError when that names what is not there."""
        named = {"procfs": settings.path.procfs, "sysfs": settings.path.sysfs, "cgroupfs": settings.path.cgroupfs}
        cure = "write where the host's is mounted, or leave it out"
        problems = [Problem(path, f"path.{key}", "is no folder", cure) for key, path in named.items() if path and not os.path.isdir(path)]
        if problems:
            raise ConfigError(tuple(problems))
        return inspect(settings.path.procfs, settings.path.sysfs, btf_file(settings.btf.path))


def operations_named(name: str, probe: Probe) -> tuple[str, ...]:
    """Return the names of a probe's operations, none when its object is missing."""
    try:
        return tuple(operations_of(name, probe, platform.machine()).values())
    except LayoutError:
        return ()


def _catalogue(name: str, probe: Probe) -> Catalogue:
    lasting = operations_named(name, probe) if probe.has_durations else ()  # what only counts has no threshold
    return Catalogue(operations=lasting, rungs=probe.mechanisms)
