"""The views, in the order in which the help names them."""

from __future__ import annotations

from collections.abc import Mapping

from perflens.tui.page import View
from perflens.tui.views import analyses, dashboard, evidence, heatmap, manual, stacks, stuck, timeline, tree

__all__ = ["VIEWS"]

VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        dashboard.VIEW,
        timeline.VIEW,
        tree.VIEW,
        stacks.VIEW,
        analyses.VIEW,
        evidence.VIEW,
        heatmap.VIEW,
        stuck.VIEW,
        manual.VIEW,
    )
}
