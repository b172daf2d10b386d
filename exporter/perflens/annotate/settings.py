"""Where the annotations go, and the token that lets them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from perflens.errors import ConfigError, Problem
from perflens.private import LONGEST_TOKEN, read_private

__all__ = ["TOKEN_VARIABLE", "GrafanaSettings", "token_from"]

TOKEN_VARIABLE = "GRAFANA_TOKEN"  # noqa: S105
_KEY = "grafana.token_file"
_CURE = "use the token of a Grafana service account with the role Editor"


@dataclass(frozen=True, slots=True)
class GrafanaSettings:
    """``url`` is Grafana's root, with its sub-path; ``external_url`` the agent's own as people reach it, empty for no links.

    ``state_path`` is where unsent annotations survive a restart, empty for memory alone. ``timeout`` is of one request, in seconds.
    """

    url: str
    token: str = field(repr=False)
    host: str
    external_url: str = ""
    state_path: str = ""
    rows_per_hour: int = 6
    rows_per_day: int = 30
    timeout: float = 10.0


def token_from(environment: Mapping[str, str], file: str = "") -> str:
    """Return the token in a file, or else that of GRAFANA_TOKEN; empty when there is neither. ConfigError when it cannot be one."""
    if file:
        return _checked(read_private(file, _KEY).decode("latin-1").strip(), file)
    token = environment.get(TOKEN_VARIABLE, "").strip()
    return _checked(token, TOKEN_VARIABLE) if token else ""


def _checked(token: str, source: str) -> str:
    """The token itself stays out of what is told: it would end in a log."""
    if not token or len(token) > LONGEST_TOKEN or any(not "!" <= char <= "~" for char in token):
        raise _refused(source, "holds no token", _CURE)
    return token


def _refused(source: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(source, "" if source == TOKEN_VARIABLE else _KEY, message, cure),))
