"""Whom queries ask about: the agents and the owners that were chosen, and the words of owners at every level."""

from __future__ import annotations

from grafana.promql import Query, compose

TOP = 10  # owners that a panel shows

AGENT = 'job=~"$job", instance=~"$instance"'

# Which of these labels there are is a matter of --owner.level. A sum by one that is missing is a sum over it, and in a legend it is
# nothing, so every query is right at every level.
LABELS = ("namespace", "workload", "pod", "container", "unit")
OWNER = ", ".join(LABELS)
OF_OWNER = " ".join(f"{{{{{label}}}}}" for label in LABELS)
CHOSEN = ("namespace", "workload", "unit")  # those that a dashboard offers to choose from


# Alerts of a workload on all its nodes have no instance.
ON_ALL_NODES = AGENT.replace('"$instance"', '"$instance|"')


# All owners are `.*`, which matches a label that is missing; `.+` would not.
def _owner(labels: tuple[str, ...], agents: str = AGENT) -> str:
    return ", ".join((agents, *(f'{label}=~"${label}"' for label in labels)))


CHOSEN_OWNER = _owner(CHOSEN)
EVERY_OWNER = _owner(LABELS)
EVERY_OWNER_ON_ALL_NODES = _owner(LABELS, ON_ALL_NODES)
OPERATION = 'operation=~"$operation"'


def top(query: Query) -> Query:
    """The owners with the largest values."""
    return compose(f"topk({TOP}, {{}})", query)
