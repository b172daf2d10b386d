"""Proves an agent's numbers on this host: known work in a cgroup of its own, and what was counted of it.

One module for each probe family, of its name, says what the known work is; the others hold for all. The command line brings the agent.
"""

from perflens.selftest import show
from perflens.selftest.disks import choose, disk_of
from perflens.selftest.ground import ended_by_signals, stand, sweep_all
from perflens.selftest.model import Check, Disk
from perflens.selftest.page import Page
from perflens.selftest.proof import Ground, prove
from perflens.selftest.remote import Remote
from perflens.selftest.subject import Event, Subject
from perflens.selftest.throttle import throttle_tree

__all__ = [
    "Check",
    "Disk",
    "Event",
    "Ground",
    "Page",
    "Remote",
    "Subject",
    "choose",
    "disk_of",
    "ended_by_signals",
    "prove",
    "show",
    "stand",
    "sweep_all",
    "throttle_tree",
]
