"""The workload that a pod belongs to, as ``Kind/name``: what a user deployed, not what the controllers made of it."""

from __future__ import annotations

import re

from perflens.enrich.kubernetes.objects import Controller, PodFacts

__all__ = ["has_controller_above", "workload_of"]

_SCHEDULED = re.compile(r"(.+)-[0-9]{8,}")  # a CronJob names its jobs by the minute


def has_controller_above(controller: Controller) -> bool:
    """Whether the workload may be what controls the controller of a pod."""
    return (controller.group, controller.kind) in (("apps", "ReplicaSet"), ("batch", "Job"))


def workload_of(pod: PodFacts, above: Controller | None) -> str:
    """Return the workload of a pod; ``above`` controls its controller, None when that is not known and has to be guessed by names."""
    own = pod.controller
    if pod.is_static:
        return f"Pod/{pod.name.removesuffix(f'-{pod.node}')}"
    if not own.kind:
        return f"Pod/{pod.name}"
    if has_controller_above(own):
        kind, name = (above.kind, above.name) if above is not None else _guessed(pod)
        if kind:
            return f"{kind}/{name}"
    return f"{own.kind}/{own.name}"


def _guessed(pod: PodFacts) -> tuple[str, str]:
    name = pod.controller.name
    if pod.controller.kind == "ReplicaSet":
        stem = name.removesuffix(f"-{pod.template_hash}")
        return ("Deployment", stem) if pod.template_hash and stem != name else ("", "")
    match = _SCHEDULED.fullmatch(name)
    return ("CronJob", match[1]) if match else ("", "")
