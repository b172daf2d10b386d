"""Who is let in to the agent's own server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perflens.config import Settings

if TYPE_CHECKING:
    from perflens.web_config.front import Guarding

__all__ = ["guarding_of"]


def guarding_of(settings: Settings) -> Guarding | None:
    """Return what the web configuration decides, None without one: its code is imported only where there is one. ConfigError."""
    if not settings.web.config_file:
        return None
    from perflens.web_config.front import Guarding

    return Guarding(settings.web.config_file)
