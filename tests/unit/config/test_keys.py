"""config/keys.py: every key is derived from the settings classes."""

from __future__ import annotations

from collections.abc import Mapping

from perflens.config import Catalogue
from perflens.config.keys import leaves, tree
from perflens.config.rules import RULES
from perflens.config.values import cure, written


def test_names(catalogue: Mapping[str, Catalogue]) -> None:
    """A key has one dotted name, one flag and one variable, each its own."""
    keys = {key.dotted: key for key in leaves(tree(catalogue)) if not key.entry}
    key = keys["web.listen_address"]
    assert (key.flag, key.variable) == ("--web.listen-address", "PERFLENS_WEB_LISTEN_ADDRESS")
    key = keys["probes.file.enabled"]
    assert (key.flag, key.off_flag, key.variable) == ("--probe.file", "--no-probe.file", "PERFLENS_PROBES_FILE_ENABLED")
    assert len({key.flag for key in keys.values()}) == len({key.variable for key in keys.values()}) == len(keys)


def test_complete(catalogue: Mapping[str, Catalogue]) -> None:
    """Every key has a help text, a cure and a default within its limits; every text has a rule that takes its default."""
    for key in leaves(tree(catalogue)):
        assert key.help.endswith(".")
        assert cure(key)
        if key.kind in ("text", "list"):
            values = key.default if key.kind == "list" else (key.default,)
            assert all(map(RULES[key.path].accepts, values))
        if key.kind == "list":
            assert not key.limits or len(key.default) <= key.limits[1]
        elif key.limits and not key.entry:
            assert key.limits[0] <= key.default <= key.limits[1]
        assert key.entry or isinstance(written(key, key.default), str)


def test_no_probes() -> None:
    """Without probes the section of the probes keeps its own keys."""
    assert [key.dotted for key in leaves(tree({})) if key.path[0] == "probes"] == ["probes.strict"]
