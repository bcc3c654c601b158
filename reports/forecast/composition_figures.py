"""Who buys: shares of revenue by region or depth, over time and with their uncertainty."""

from __future__ import annotations

import pandas as pd

from postcgrp.reports.forecast.colours import NEUTRAL, QUIET, SEGMENT_COLOURS
from postcgrp.reports.forecast.layers import years
from postcgrp.reports.forecast.style import (
    PANEL,
    ROW,
    ROW_OF_MANY,
    SMALL,
    TALL,
    Spec,
    colours,
    figure,
    fractions,
    mark,
    names,
    panel,
    side_by_side,
)
from postcgrp.reports.forecast.words import Words

MOST_LAYERS = len(SEGMENT_COLOURS)  # of a stack, each with a colour of its own
MOST_YEARS = 3  # whose intervals are drawn for each segment, while all have a layer


def composition(table: pd.DataFrame, words: Words, dim: str) -> Spec | None:
    """Shares of revenue of regions or depths; `table` of `figure_tables.shares_of_revenue`; None for a single segment.

    Left: mean shares by year, stacked; of many segments the largest, the others as one. Right: medians and intervals,
    of first, middle and last anchor, or of the last alone where there are many segments.
    """
    labels = words.labels[dim]
    if len(labels) == 1:
        return None
    many = len(labels) > MOST_LAYERS
    latest = table[table["year"] == words.last].sort_values("mean", ascending=False, kind="stable")
    top = latest.iloc[0]
    order = list(latest[dim]) if many else [name for name in labels if name in set(table[dim])]
    own = order[: MOST_LAYERS - 1] if many else order
    others = f"{len(order) - len(own)} others"
    first, last = words.anchors[0], words.anchors[-1]
    anchors = [last] if many else sorted({first, words.anchors[len(words.anchors) // 2], last})[-MOST_YEARS:]
    layer = table[dim].where(table[dim].isin(own)).map(labels).fillna(others)
    shown = table.assign(label=table[dim].map(labels), layer=layer, at=table["year"].where(table["year"].isin(anchors)))
    shown["at_text"] = shown["at"].map(lambda year: str(int(year)), na_action="ignore")
    layers = [labels[name] for name in own] + ([others] if many else [])
    grey = f"; grey: the {others}" if many else ""
    palette = [*SEGMENT_COLOURS[: len(own)], *([NEUTRAL] if many else [])]
    colour = colours("layer", layers, palette)
    height = max(TALL, (ROW_OF_MANY if many else ROW * len(anchors)) * len(order))
    return figure(
        f"{100 * top['mean']:.0f} % of revenue in {words.last}: {labels[top[dim]]}",
        "Left: mean shares by year. Right: median (dot), 50 % interval (thick) and 90 % interval (thin)"
        f" of {', '.join(map(str, anchors))}; colours are the same{grey}.",
        shown,
        3 * PANEL,
        **side_by_side(
            [
                _stack(words, colour, TALL if many else height),
                _intervals([labels[name] for name in order], colour, anchors, height),
            ]
        ),
    )


def _stack(words: Words, colour: Spec, height: float) -> Spec:
    share = fractions("mean", "Share of revenue", scale={"domain": [0, 1]}) | {"aggregate": "sum", "stack": "zero"}
    area = mark("area", {"x": years(words), "y": share, "color": colour}, opacity=0.9)
    return panel("Mean share by year", [area], height=height)


def _intervals(order: list[str], colour: Spec, anchors: list[int], height: float) -> Spec:
    y: Spec = {"y": names("label", order)}
    if several := len(anchors) > 1:
        y["yOffset"] = {"field": "at", "type": "ordinal", "scale": {"domain": anchors}}
    x = fractions("low_90", "Share of revenue")
    thin = mark("rule", {**y, "x": x, "x2": {"field": "high_90"}, "color": colour}, valid="at", strokeWidth=1.6)
    half = {**y, "x": x | {"field": "low_50"}, "x2": {"field": "high_50"}, "color": colour}
    thick = mark("rule", half, valid="at", strokeWidth=5)
    middle = {**y, "x": x | {"field": "median"}, "stroke": colour}
    dot = mark("point", middle, valid="at", filled=True, fill="white", size=32, opacity=1)
    year = {**y, "x": x | {"field": "high_90"}, "text": {"field": "at_text"}}
    text = mark("text", year, valid="at_text", align="left", dx=5, color=QUIET, fontSize=SMALL - 2)
    return panel("Median and intervals", [thin, thick, dot, *([text] if several else [])], height=height)
