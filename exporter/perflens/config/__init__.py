"""Configuration: what the user wrote, checked whole, as one frozen value."""

from __future__ import annotations

from perflens.config.differences import reloadable_differences
from perflens.config.flags import Parser, add_flags, collected
from perflens.config.keys import Catalogue
from perflens.config.load import config_file, load
from perflens.config.schema import schema
from perflens.config.settings import Settings
from perflens.config.show import show, values

__all__ = [
    "Catalogue",
    "Parser",
    "Settings",
    "add_flags",
    "collected",
    "config_file",
    "load",
    "reloadable_differences",
    "schema",
    "show",
    "values",
]
