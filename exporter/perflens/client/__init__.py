"""How the commands that ask a running agent reach it: its address, whom they trust, and what they show of themselves.

``add_flags`` declares the flags ``--url`` and ``--client.*``, ``target_of`` reads them as a ``Target``. The standard library alone.
"""

from perflens.client.flags import add_flags, target_of
from perflens.client.target import Identity, Target, is_usable

__all__ = ["Identity", "Target", "add_flags", "is_usable", "target_of"]
