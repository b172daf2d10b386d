"""All sources together: flag before environment before file before default."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from perflens.config import environment as variables
from perflens.config import flags
from perflens.config.build import build
from perflens.config.keys import Catalogue, KeyPath, Section, tree
from perflens.config.layer import Layer
from perflens.config.settings import Settings
from perflens.errors import ConfigError

__all__ = ["config_file", "load"]


def load(
    arguments: Mapping[str, list[str]],
    environment: Mapping[str, str],
    file: str | None,
    catalogue: Mapping[str, Catalogue],
    defaults: Mapping[KeyPath, Any] = MappingProxyType({}),
) -> Settings:
    """The settings; raises ConfigError with every problem of every source.

    ``arguments`` is what ``collected`` returns; ``file`` None leaves the choice to ``config_file``. ``defaults`` are those of a command
    that has others.
    """
    keys = tree(catalogue)
    path = config_file(arguments, environment) if file is None else file
    layers = (_of_file(path, keys), variables.from_environment(environment, keys), flags.from_flags(arguments, keys))
    if problems := [problem for layer in layers for problem in layer.problems]:
        raise ConfigError(tuple(problems))
    values: dict[KeyPath, Any] = dict(defaults)
    for layer in layers:
        values.update(layer.values)
    return build(Settings, (), values)


def config_file(arguments: Mapping[str, list[str]], environment: Mapping[str, str]) -> str | None:
    """The file that the last ``--config.file`` names, else PERFLENS_CONFIG_FILE, else None."""
    named = arguments.get(flags.CONFIG_FILE)
    return named[-1] if named else environment.get(variables.CONFIG_FILE)


def _of_file(path: str | None, keys: Section) -> Layer:
    """What the file says; the parser of YAML takes 1 MiB, so it is imported only where there is a file."""
    if path is None:
        return Layer()
    from perflens.config.file import from_file

    return from_file(path, keys)
