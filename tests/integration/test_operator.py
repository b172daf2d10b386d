"""What the chart asks of the Prometheus operator, looked at with the operator's own definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("helm_python", reason="the chart is rendered by helm-python-sdk, which has no wheel for this machine")

from jsonschema import Draft202012Validator

from tests.servers import component
from tests.unit.helm.objects import VARIANTS, chart, values_of_variant

pytestmark = pytest.mark.components

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("PodMonitor", "PrometheusRule", "ServiceMonitor")


def strict(schema: Any) -> Any:
    """Refuse what an API server would drop in silence: keys that a definition does not name."""
    if isinstance(schema, list):
        return [strict(own) for own in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(own) for key, own in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema and schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


@pytest.fixture(scope="module")
def definitions() -> dict[str, Any]:
    """The schema of each kind's spec; without Go to make them from the operator's types the tests are skipped."""
    folder, found = component("operator"), {}
    for kind in KINDS:
        path = folder / f"monitoring.coreos.com_{kind.lower()}s.yaml"
        (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
        found[kind] = strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return found


def mistakes(definitions: dict[str, Any], values: dict[str, Any]) -> dict[str, list[str]]:
    """Return what is wrong with each object of the operator that the chart makes of these values, by kind and name."""
    return {
        f"{own['kind']}/{own['metadata']['name']}": [
            error.message for error in Draft202012Validator(definitions[own["kind"]]).iter_errors(own["spec"])
        ]
        for own in chart(values).all
        if own["kind"] in definitions
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_what_the_operator_knows(definitions: dict[str, Any], variant: str) -> None:
    """Monitors and rules of each variant have fields that the operator knows, with values that it takes."""
    found = mistakes(definitions, values_of_variant(variant))

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_every_kind_is_looked_at(definitions: dict[str, Any]) -> None:
    """The variants make each kind, with every setting of a monitor."""
    kinds = {name.partition("/")[0] for variant in VARIANTS for name in mistakes(definitions, values_of_variant(variant))}

    assert kinds == set(KINDS)


def test_a_wrong_field_is_seen(definitions: dict[str, Any]) -> None:
    """What the operator does not know is found, so that the tests above can fail."""
    found = mistakes(definitions, {"podMonitor": {"enabled": True, "endpoint": {"honorlabels": True}}})

    assert found == {"PodMonitor/perflens": ["Additional properties are not allowed ('honorlabels' was unexpected)"]}
