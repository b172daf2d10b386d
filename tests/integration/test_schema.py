"""The dashboards as Grafana's own types see them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import component

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
KINDS = {"timeseries": "TimeSeries", "stat": "Stat", "heatmap": "Heatmap", "table": "Table"}

# Enumerations are texts and numbers in JSON. What has a default may be left out, which the types do not say.
HEAD = """
import type { AnnotationQuery, Dashboard, Panel, RowPanel, VariableModel } from "@grafana/schema";
type Plain<T> = T extends string ? `${T}` : T extends number ? `${T}` extends `${infer N extends number}` ? N | T : T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Marks = Plain<AnnotationQuery> & Record<"expr" | "step" | "titleFormat" | "textFormat" | "tagKeys", string>;  // of Prometheus
type Variable = Plain<VariableModel> & { definition?: string };  // of Prometheus too
type Shown<O, F> = Plain<Omit<Panel<O, F>, "options">> & { options: Plain<O> };
type Whole = Plain<Omit<Dashboard, "panels" | "annotations" | "templating">>;
"""
IMPORT = 'import type * as {name} from "@grafana/schema/dist/esm/raw/composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen";\n'


@pytest.fixture(scope="session")
def schema() -> Path:
    """The folder of the types and the compiler; without them the tests that need them are skipped."""
    return component("grafana-schema")


def typed(panel: dict[str, Any]) -> str:
    """The type of a panel: a table has no settings of fields beyond those of all."""
    if panel["type"] == "row":
        return "Plain<RowPanel>"
    kind = KINDS[panel["type"]]
    field = "Record<string, unknown>" if kind == "Stat" else f"Partial<{kind}.FieldConfig>"
    return f"Shown<Partial<{kind}.Options>, {field}>"


def source(dashboards: list[dict[str, Any]]) -> str:
    """A program that says of each dashboard and each panel of which type it is."""
    lines = [HEAD, *(IMPORT.format(name=name, kind=kind) for kind, name in KINDS.items())]
    for number, dashboard in enumerate(dashboards):
        panels, marks, variables = dashboard.pop("panels"), dashboard.pop("annotations")["list"], dashboard.pop("templating")["list"]
        lines.append(f"export const d{number}: Whole = {json.dumps(dashboard)};\n")
        lines.append(f"export const d{number}marks: Marks[] = {json.dumps(marks)};\n")
        lines.append(f"export const d{number}variables: Variable[] = {json.dumps(variables)};\n")
        lines += [f"export const d{number}p{panel['id']}: {typed(panel)} = {json.dumps(panel)};\n" for panel in panels]
    return "".join(lines)


def compiled(schema: Path, folder: Path, dashboards: list[dict[str, Any]]) -> str:
    """What the compiler says."""
    (folder / "node_modules").symlink_to(schema / "node_modules")
    (folder / "dashboards.ts").write_text(source(dashboards))
    flags = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
    done = subprocess.run(
        [str(schema / "node_modules" / ".bin" / "tsc"), *flags, "dashboards.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout


def test_dashboards_are_of_grafanas_types(schema: Path, tmp_path: Path) -> None:
    """Every dashboard and every panel with its options and fields has the type that Grafana's sources give it, and no key more."""
    assert compiled(schema, tmp_path, [json.loads(path.read_text()) for path in DASHBOARDS]) == ""


@pytest.mark.parametrize(("option", "value"), [("legnd", {}), ("tooltip", {"mode": "several", "sort": "desc"})])
def test_a_wrong_option_is_told(schema: Path, tmp_path: Path, option: str, value: dict[str, str]) -> None:
    """An option that there is not, and a value that an option does not have, are told."""
    dashboard = json.loads(DASHBOARDS[0].read_text())
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    panel["options"][option] = value
    dashboard["panels"] = [panel]
    said = compiled(schema, tmp_path, [dashboard])
    assert said.count("error") == 1
    assert '"legnd"' in said or '"several"' in said
