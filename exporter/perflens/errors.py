"""The errors that PerfLens raises on purpose.

PerfLensError            exit 1
├── ConfigError          exit 2: what the user wrote cannot be used
├── StartError           exit 1: the host refuses what the agent cannot do without (a busy port)
├── ProbeError           a probe cannot run here; the others go on
└── LayoutError          a compiled object is not what its declaration says
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConfigError", "LayoutError", "PerfLensError", "ProbeError", "Problem", "StartError"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration, and its cure.

    ``source`` is where it stands: ``perflens.yaml:3``, ``--threshold`` or ``PERFLENS_LOG_LEVEL``;
    ``key`` is the dotted configuration key, empty where there is none.
    """

    source: str
    key: str
    message: str
    cure: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.source}: {key}{self.message}; {self.cure}"


class PerfLensError(Exception):
    """An expected failure: its text is for the user, who sees no traceback."""

    exit_code = 1


class ConfigError(PerfLensError):
    """Every problem of one configuration, in the order of its lines."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class StartError(PerfLensError):
    """The agent cannot start on this host."""


class ProbeError(PerfLensError):
    """A probe cannot be loaded or attached; ``cure`` says what would help."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cure = cure


class LayoutError(PerfLensError):
    """A compiled object and the declaration of its probe do not agree."""

    cure = "run make, or reinstall perflens"

    @property
    def reason(self) -> str:
        """What does not agree; with ``cure`` it tells why a probe cannot run, as ProbeError does."""
        return str(self)
