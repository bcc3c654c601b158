"""How every figure looks: the one configuration, and the parts that all specs are made of.

A figure is a Vega-Lite spec as a plain dictionary: a pure function of a table makes it, a page shows it, and
:mod:`postcgrp.reports.forecast.drawing` turns it into PNG and SVG. Its title is its message. Labels of a ledger appear
only as values of the data and as text, never in an expression, so that no label can be anything but text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import pandas as pd

from postcgrp.reports.forecast.colours import GRID_LINES, INK, QUIET, SEGMENT_COLOURS

Spec = dict[str, Any]

SCHEMA_URL = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
WIDE, PANEL = 600, 250  # pixels: a figure's only plot, and one of several side by side
TALL, ROW, ROW_OF_MANY = 300, 26, 18  # pixels: the height of a plot, of a row of a bar chart, and of one of many rows
MESSAGE_SIZE, PANEL_SIZE, LABEL_SIZE, SMALL = 16, 13, 12, 11  # pixels
PIXELS_PER_CHARACTER = 0.56  # of the size of the font, on average
LABEL_LIMIT = 230  # pixels: longer labels end in dots
LONG_NAME = 340  # pixels: the limit where names are phrases
MOST_ABREAST = 3
_LABELS: Spec = {  # of axes and of legends
    "labelColor": QUIET,
    "labelFontSize": LABEL_SIZE,
    "labelLimit": LABEL_LIMIT,
    "titleColor": QUIET,
    "titleFontSize": LABEL_SIZE,
    "titleFontWeight": "normal",
}
CONFIG: Spec = {
    "font": FONT,
    "background": "white",
    "view": {"stroke": None},
    "range": {"category": list(SEGMENT_COLOURS)},
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "fontSize": PANEL_SIZE,
        "fontWeight": "normal",
        "subtitleColor": QUIET,
        "subtitleFontSize": LABEL_SIZE,
        "offset": 10,
    },
    "axis": {
        **_LABELS,
        "titlePadding": 8,
        "gridColor": GRID_LINES,
        "domainColor": "#bdbdbd",
        "tickColor": "#bdbdbd",
    },
    "legend": {**_LABELS, "symbolType": "square"},
    "text": {"color": INK, "fontSize": SMALL},
    "concat": {"spacing": 26},
}
# Ticks keep as many digits as tell them apart.
TICKS = 6
NUMBER_AXIS: Spec = {"format": ",~r", "tickCount": TICKS}
PERCENT_AXIS: Spec = {"labelExpr": "format(100 * datum.value, ',~r') + ' %'", "tickCount": TICKS}


def figure(message: str, note: str, table: pd.DataFrame, across: float = WIDE, **body: Any) -> Spec:
    """A whole figure: its message as title, below it what the marks are, and a table as its data.

    Parameters: `across`, in pixels, the width of everything drawn, at which the message is broken into lines; `body`,
    the marks, or panels with marks, as Vega-Lite has them.
    """
    return {
        "$schema": SCHEMA_URL,
        "title": {
            "text": lines(message, across, MESSAGE_SIZE),
            "subtitle": lines(note, across, LABEL_SIZE),
            "fontSize": MESSAGE_SIZE,
            "fontWeight": "bold",
            "offset": 16,
        },
        "data": {"values": json_rows(table)},
        **body,
        "config": CONFIG,
    }


def lines(text: str, width: float, size: float) -> list[str]:
    """A text in lines that are at most `width` pixels long in a font of `size` pixels."""
    return wrap(text, max(20, int(width / size / PIXELS_PER_CHARACTER)))


def json_rows(table: pd.DataFrame) -> list[Spec]:
    """The rows of a table as JSON has them; what is missing or not finite is null."""
    columns = {str(name): [_plain(value) for value in table[name].tolist()] for name in table}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)) else value


def panel(title: str, layers: Sequence[Spec], *, only: Mapping[str, int | str] | None = None, **size: Any) -> Spec:
    """One plot of several: its title, its marks, and by `only` the rows of the figure's data that it shows.

    Values in `only` are numbers or words of this package, never a ledger's.
    """
    chosen = [{"filter": {"field": name, "equal": value}} for name, value in (only or {}).items()]
    width = size.setdefault("width", PANEL)
    size.setdefault("height", TALL)
    return {"title": {"text": lines(title, width, PANEL_SIZE)}, "transform": chosen, "layer": list(layers), **size}


def side_by_side(panels: Sequence[Spec], columns: int = MOST_ABREAST) -> Spec:
    """Panels side by side, in as many rows as it takes."""
    return {"concat": list(panels), "columns": min(columns, len(panels))}


def mark(kind: str, encoding: Spec, *, valid: str | None = None, **style: Any) -> Spec:
    """One layer: a kind of mark, what it shows, how it looks; `valid` names a column that must have a value."""
    layer: Spec = {"mark": {"type": kind, **style}, "encoding": encoding}
    return layer | ({"transform": [{"filter": {"not": {"field": valid, "equal": None}}}]} if valid else {})


def once(layer: Spec) -> Spec:
    """A layer that shows no data, drawn once and not for every row."""
    return {"data": {"values": [{}]}, **layer}


def quantity(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel with numbers of a column."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def money(field: str, title: str | None = None, axis: Spec | None = None, scale: Spec | None = None) -> Spec:
    """A channel with amounts of a column, on an axis that starts at zero."""
    return quantity(field, title, axis={**NUMBER_AXIS, **(axis or {})}, scale={"nice": TICKS, **(scale or {})})


def fractions(field: str, title: str | None = None, axis: Spec | None = None, scale: Spec | None = None) -> Spec:
    """A channel with fractions of a column, shown as per cent."""
    return quantity(field, title, axis={**PERCENT_AXIS, **(axis or {})}, scale={"nice": TICKS, **(scale or {})})


def numbered(table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, dict[int, str]]:
    """A table with a column `panel` that numbers the names in another column, and the names by number."""
    numbers, found = pd.factorize(table[column])
    return table.assign(panel=numbers), {k: str(name) for k, name in enumerate(found)}


def names(field: str, order: Sequence[str], axis: Spec | None = None, **more: Any) -> Spec:
    """A channel with the names in a column, one row for each in their order."""
    look: Spec = {"title": None, "ticks": False, "domain": False, "labelPadding": 8, **(axis or {})}
    return {"field": field, "type": "nominal", "scale": {"domain": list(order)}, "axis": look, **more}


def colours(field: str, domain: Sequence[str], palette: Sequence[str], legend: Spec | None = None) -> Spec:
    """A channel that colours by a column; without `legend` another axis or a note says which is which."""
    scale = {"domain": list(domain), "range": [palette[i % len(palette)] for i in range(len(domain))]}
    return {"field": field, "type": "nominal", "scale": scale, "legend": legend}
