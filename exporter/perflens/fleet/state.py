"""The incidents of a fleet across a restart."""

from __future__ import annotations

from perflens.analyzer.state import ValuesFile
from perflens.fleet.groups import Group

__all__ = ["GroupsFile"]

_SCHEMA = "perflens.fleet/1"
_MOST = 500


class GroupsFile(ValuesFile[Group]):
    """Groups in a file; without a path there is none."""

    def __init__(self, path: str) -> None:
        super().__init__(path, Group, _SCHEMA, "fleet.state-file", _MOST)
