"""What a reload would change, and what of it has to wait for a restart."""

from __future__ import annotations

from perflens.config.build import implied_catalogue, value_at
from perflens.config.keys import leaves, tree
from perflens.config.settings import Settings

__all__ = ["reloadable_differences"]


def reloadable_differences(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The dotted keys that differ: those that a reload changes, and those that need a restart."""
    keys = leaves(tree(implied_catalogue(old, new)))
    changed = [key for key in keys if value_at(old, key.path) != value_at(new, key.path)]
    return [key.dotted for key in changed if key.reload], [key.dotted for key in changed if not key.reload]
