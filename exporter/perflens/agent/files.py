"""The limit of open files, of which programs and tables of the kernel take their part, and clients the rest."""

from __future__ import annotations

import resource

from perflens.errors import StartError

__all__ = ["ensure_files"]

_NEEDED = 256  # an agent with every probe has 175 at rest
_WANTED = 1024


def ensure_files() -> None:
    """Raise the limit to what an agent and its clients take, as far as this process may; StartError where an agent alone takes more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < _NEEDED:
        raise StartError(f"only {most} files may be open, and the agent takes {_NEEDED}; raise the limit (LimitNOFILE=, ulimit -n)")
