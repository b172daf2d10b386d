"""config/differences.py: what a reload would change."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from perflens.config import Settings, reloadable_differences
from perflens.config.settings import Log, Probes, ProbeSettings, Web

DEFAULT = Settings()


def with_probe(probe: ProbeSettings) -> Settings:
    return replace(DEFAULT, probes=Probes(by_name=MappingProxyType({"file": probe})))


def test_none() -> None:
    """Equal settings do not differ, and a probe that is named with its defaults is no change."""
    assert reloadable_differences(DEFAULT, DEFAULT) == ([], [])
    assert reloadable_differences(DEFAULT, with_probe(ProbeSettings())) == ([], [])


def test_both() -> None:
    """Keys that a reload changes are told from those that need a restart."""
    new = replace(DEFAULT, threshold=1_000, cells=64, log=Log(level="debug"), web=Web(enable_lifecycle=True))
    assert reloadable_differences(DEFAULT, new) == (["threshold", "log.level"], ["cells", "web.enable_lifecycle"])


def test_probes() -> None:
    """The thresholds of operations are compared one by one, in both directions."""
    old = with_probe(ProbeSettings(thresholds=MappingProxyType({"read": 1_000, "write": 2_000})))
    new = with_probe(ProbeSettings(enabled=False, thresholds=MappingProxyType({"read": 1_000, "copy": 2_000})))
    changed = (["probes.file.thresholds.write", "probes.file.thresholds.copy"], ["probes.file.enabled"])
    assert reloadable_differences(old, new) == changed
    assert sorted(reloadable_differences(new, old)[0]) == sorted(changed[0])
