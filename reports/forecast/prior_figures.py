"""What was assumed, and what the evidence changed of it, as many small plots."""

from __future__ import annotations

import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, NEUTRAL
from postcgrp.reports.forecast.style import (
    MOST_ABREAST,
    NUMBER_AXIS,
    PANEL,
    SMALL,
    Spec,
    figure,
    lines,
    mark,
    numbered,
    panel,
    quantity,
    side_by_side,
)

HISTOGRAM_HEIGHT = 90  # pixels
CELL = (190, 62)  # pixels: width and height of a prior's plot
CELL_COLUMNS = 4
RANGE_AXIS: Spec = {
    "format": ",.6~r",  # in full: ticks of other axes have as many digits as tell them apart
    "grid": False,
    "labelColor": CONTRAST,
    "labelFontSize": SMALL,
    "labelOverlap": True,
    "tickColor": CONTRAST,
}


def prior_posterior(table: pd.DataFrame) -> Spec:
    """Prior and posterior of what a reader argues about; `table` of `figure_tables.priors_and_posteriors`."""
    tallest = table.groupby(["quantity", "draws"])["density"].transform("max")
    shown, titles = numbered(table.assign(height=table["density"] / tallest), "quantity")
    axis = NUMBER_AXIS | {"tickCount": 4, "labelOverlap": True, "grid": False}
    x = quantity("low", None, axis=axis, scale={"zero": False}, bin="binned")
    y = quantity("height", None, axis=None, stack=None)
    bars = [
        {
            "transform": [{"filter": {"field": "draws", "equal": draws}}],
            **mark("bar", {"x": x, "x2": {"field": "high"}, "y": y}, color=colour, opacity=0.55, binSpacing=0),
        }
        for draws, colour in (("prior", NEUTRAL), ("posterior", ACCENT))
    ]
    panels = [
        panel(title, bars, only={"panel": k}, width=PANEL - 10, height=HISTOGRAM_HEIGHT) for k, title in titles.items()
    ]
    return figure(
        "What the evidence changed (blue) of what was assumed (grey)",
        "Histograms of the draws, each scaled to its own height: compare where they lie and how wide they are.",
        shown,
        MOST_ABREAST * PANEL,
        **side_by_side(panels),
        resolve={"scale": {"x": "independent", "y": "independent"}},
    )


def prior_ranges(table: pd.DataFrame) -> Spec | None:
    """Ranged priors over the ranges they came from, None without any; `table` of `figure_tables.ranged_priors`."""
    if table.empty:
        return None
    tallest = table.groupby("prior")["density"].transform("max")
    shown, found = numbered(table.assign(height=table["density"] / tallest), "prior")
    once = ~shown.duplicated("prior")
    shown = shown.assign(range_low=shown["low"].where(once), range_high=shown["high"].where(once))
    panels = [_over_its_range(shown[shown["panel"] == k], name) for k, name in found.items()]
    return figure(
        "Ranged priors and the ranges they came from",
        "Blue: the density of the prior; orange: the range that the report or an assumption gives, with its ends. Of "
        "priors that differ by region, the first is shown.",
        shown,
        CELL_COLUMNS * CELL[0],
        **side_by_side(panels, CELL_COLUMNS),
        spacing=14,
        resolve={"scale": {"x": "independent", "y": "independent"}},
    )


def _over_its_range(rows: pd.DataFrame, name: str) -> Spec:
    width, height = CELL
    ends = [float(rows["low"].iloc[0]), float(rows["high"].iloc[0])]
    domain = [min(ends[0], float(rows["x"].min())), max(ends[1], float(rows["x"].max()))]
    scale = {"nice": False, "zero": False, "domain": domain}
    number = {"format": ".1~f"} if rows["unit"].iloc[0] == "year" else {}  # a date has no thousands
    x = quantity("x", None, axis=RANGE_AXIS | number | {"values": ends}, scale=scale)
    y = quantity("height", None, axis=None, scale={"domain": [0, 1]})
    ranged = {"x": x | {"field": "range_low"}, "x2": {"field": "range_high"}}
    shade = mark("rect", ranged, valid="range_low", color=CONTRAST, opacity=0.15)
    curve = mark("area", {"x": x, "y": y}, color=ACCENT, opacity=0.35, line={"color": ACCENT, "strokeWidth": 1.2})
    title = {"text": lines(name.replace("_", " "), width, SMALL), "fontSize": SMALL, "color": INK, "offset": 4}
    drawn = panel(name, [shade, curve], only={"panel": int(rows["panel"].iloc[0])}, width=width, height=height)
    return drawn | {"title": title}
