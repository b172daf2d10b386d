"""What is wanted of the objects of an API server or a kubelet. They hold what users wrote: whatever is not as it should be is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["NO_CONTROLLER", "Controller", "PodFacts", "controller_of", "decoded", "metadata_of", "pod_facts", "version_of"]

_MOST = 512  # containers of each kind, and volumes
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_GROUP = re.compile(r"(?:([a-z0-9.-]{1,253})/)?v[a-z0-9]{1,31}")
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATIC_UID = re.compile(r"[0-9a-f]{32}")
_CONTAINER = re.compile(r"[a-z0-9.-]{1,32}://([0-9a-f]{64})")
_VERSION = re.compile(r"[!-~]{1,64}")
_TEMPLATE_HASH = "pod-template-hash"
_STATIC = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror")
_SOURCE, _API_SERVER = "kubernetes.io/config.source", "api"
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


class Controller(NamedTuple):
    """What an object belongs to: ``group`` is that of its API, empty for the core's."""

    group: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


NO_CONTROLLER = Controller()
"""Of what belongs to nothing."""


class PodFacts(NamedTuple):
    """A pod. ``uid`` names it in cgroups; ``containers`` holds the names of containers by their ids of 64 hex digits.

    A static pod is named there by the hash of its file, ``is_static``. ``volumes`` holds the names of its volumes with that of the claim
    of each, empty for one that is of no claim.
    """

    uid: str
    namespace: str
    name: str
    node: str
    controller: Controller
    template_hash: str
    is_static: bool
    containers: Mapping[str, str]
    volumes: Mapping[str, str] = MappingProxyType({})


def decoded(text: bytes | bytearray) -> Mapping[str, Any]:
    """Return an object; ValueError when it is none."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def metadata_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata of an object."""
    return _mapping(found.get("metadata"))


def version_of(found: Mapping[str, Any]) -> str:
    """Return the resourceVersion of an object or a list, empty when there is none."""
    return _fitting(_VERSION, metadata_of(found).get("resourceVersion"))


def controller_of(metadata: Mapping[str, Any]) -> Controller:
    """Return the owner that controls an object."""
    for own in _mappings(metadata.get("ownerReferences")):
        if own.get("controller") is True:
            group = _GROUP.fullmatch(own["apiVersion"]) if isinstance(own.get("apiVersion"), str) else None
            kind, name = _fitting(_KIND, own.get("kind")), _fitting(_NAME, own.get("name"))
            if group and kind and name:
                return Controller(group[1] or "", kind, name, _fitting(_UID, own.get("uid")))
    return NO_CONTROLLER


def pod_facts(found: Mapping[str, Any], *, of_kubelet: bool = False) -> PodFacts | None:
    """Return what is wanted of a pod, as the API server or the kubelet has it, None when it lacks what names it."""
    metadata = metadata_of(found)
    namespace, name = _fitting(_LABEL, metadata.get("namespace")), _fitting(_NAME, metadata.get("name"))
    controller = controller_of(metadata)
    uid, is_static = _uid(metadata, controller, of_kubelet=of_kubelet)
    if not (uid and namespace and name):
        return None
    spec = _mapping(found.get("spec"))
    return PodFacts(
        uid,
        namespace,
        name,
        _fitting(_NAME, spec.get("nodeName")),
        controller,
        _fitting(_LABEL, _mapping(metadata.get("labels")).get(_TEMPLATE_HASH)),
        is_static,
        dict(_containers(_mapping(found.get("status")))),
        dict(_volumes(spec, name)),
    )


def _uid(metadata: Mapping[str, Any], controller: Controller, *, of_kubelet: bool) -> tuple[str, bool]:
    """The uid that a pod has in cgroups, empty when it has none, and whether it is a static one.

    What the API server has of a static pod is its mirror, which belongs to the node and has an uid of its own. No other pod's uid has
    the form of a hash, so that a pod with annotations like these can pass for a static one at most. The kubelet has the static pod
    itself, and writes the source of each pod over what its annotations said of that.
    """
    annotations, own = _mapping(metadata.get("annotations")), metadata.get("uid")
    uid = _fitting(_UID, own)
    told = {_fitting(_STATIC_UID, annotations.get(key)) for key in _STATIC}
    mirrored = told.pop() if uid and len(told) == 1 and controller.kind == "Node" else ""
    if mirrored:
        return mirrored, True
    if of_kubelet and _fitting(_LABEL, annotations.get(_SOURCE)) not in ("", _API_SERVER):
        return uid or _fitting(_STATIC_UID, own), True
    return uid, False


def _containers(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids of each container's present and last run."""
    for key in _STATUSES:
        for own in _mappings(status.get(key)):
            name = _fitting(_LABEL, own.get("name"))
            last = _mapping(_mapping(own.get("lastState")).get("terminated")), _mapping(_mapping(own.get("state")).get("terminated"))
            for told in (*last, own):
                match = _CONTAINER.fullmatch(told["containerID"]) if isinstance(told.get("containerID"), str) else None
                if name and match:
                    yield match[1], name


def _volumes(spec: Mapping[str, Any], pod: str) -> Iterator[tuple[str, str]]:
    """The names of volumes, with that of their claim. An ephemeral one's claim is made for the pod, and named after both."""
    for own in _mappings(spec.get("volumes")):
        name = _fitting(_LABEL, own.get("name"))
        if name:
            claim = f"{pod}-{name}" if _mapping(own.get("ephemeral")) else _mapping(own.get("persistentVolumeClaim")).get("claimName")
            yield name, _fitting(_NAME, claim)


def _fitting(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    return [own for own in value[:_MOST] if isinstance(own, dict)] if isinstance(value, list) else []
