"""The figure of `postcgrp sensitivity`: what moves the last year's revenue most, and how other views see it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors import PriorSet
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, NEUTRAL, QUIET
from postcgrp.reports.forecast.drawing import draw
from postcgrp.reports.forecast.layers import halo
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    LONG_NAME,
    PANEL,
    ROW,
    SMALL,
    Spec,
    colours,
    figure,
    mark,
    money,
    names,
    once,
    panel,
    side_by_side,
)
from postcgrp.reports.forecast.words import unlike, words_of

_MOST_BARS = 12  # of the tornado
MOST_LEFT_OUT = 5  # claims among the other views
MOST_OF_GRID = 9
LEAST_ROWS = 4  # for which a panel has room
SIDE = 0.35  # of a tornado's longest side, for the numbers beside its bars
KIND_WORDS = {"prior set": "set: ", "claim left out": "without ", "grid": "", "run": ""}


def save_sensitivity(
    pset: PriorSet, table: pd.DataFrame, tables: Mapping[str, pd.DataFrame], path: Path, recipe: str, above: float
) -> list[Path]:
    """Draw the figure as SVG and PNG; returns their paths.

    Parameters: `table`, one row per posterior; `tables`, with `tornado`; `above`, in millions, the report's point of
    the last year or the user's level, NaN for none; `recipe`, the hash that both files carry.
    """
    return draw(tornado_and_views(pset, table, tables["tornado"], above), path, recipe)


def tornado_and_views(pset: PriorSet, table: pd.DataFrame, moves: pd.DataFrame, above: float) -> Spec:
    """The tornado of assumptions on the left, other views of the same market on the right."""
    bars = moves[moves["swing"].notna()].head(_MOST_BARS)
    views, base = views_shown(table), table.iloc[0]
    shown = pd.concat([_tornado_rows(bars, float(base["mean"]), pset), _view_rows(views)], ignore_index=True)
    height = ROW * max(len(bars), len(views), LEAST_ROWS)
    words = words_of(pset.ledger)
    error = bars["swing_se"].max()
    return figure(
        what_moves_most(pset, bars),
        "Left: one assumption moved at a time, all else fitted again; the centre of its prior at its own 10 % (grey) "
        "and 90 % point (blue), its width unchanged. Numbers: that centre; of an error, how far the report is above "
        f"the truth. Monte-Carlo error of a bar's whole length: {'none' if np.isnan(error) else short(error, 2)}. "
        "Right: median and 90 % interval; orange: without a claim; dashed: the report's point, or the level asked for.",
        shown,
        3.6 * PANEL,
        **side_by_side(
            [
                _tornado(shown, f"Mean revenue {words.last}, {words.money}", float(base["mean"]), height),
                _views(shown, f"Revenue {words.last}, {words.money}", float(base["median"]), above, height),
            ]
        ),
        resolve={"scale": {"color": "independent"}},
    )


def what_moves_most(pset: PriorSet, bars: pd.DataFrame) -> str:
    """The figure's title: what moves the last year most."""
    year = pset.ledger.years[-1]
    clear = bars[bars["direction"].isin(["+", "-"])]
    if clear.empty:
        return f"No single assumption moves {year} by more than Monte-Carlo error"
    parts = [
        f"{label(row['input'], pset)} ({min(row['mean_low'], row['mean_high']):,.0f} to "
        f"{max(row['mean_low'], row['mean_high']):,.0f})"
        for row in records(clear.head(2))
    ]
    return f"What moves {year} most: {', then '.join(parts)}"


def views_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the right panel: the run, the prior sets, the grid's widest, and claims whose absence shows."""
    fitted = table[table["missed"] == ""]
    left_out = fitted[(fitted["kind"] == "claim left out") & fitted["clear"].eq(other=True)].head(MOST_LEFT_OUT)
    grid = fitted[fitted["kind"] == "grid"]
    if len(grid) > MOST_OF_GRID:
        spread = grid.sort_values("median")
        grid = spread.iloc[np.linspace(0, len(spread) - 1, MOST_OF_GRID).round().astype(int)]
    return pd.concat([fitted[fitted["name"] == "as it is"], fitted[fitted["kind"] == "prior set"], grid, left_out])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def label(name: str, pset: PriorSet) -> str:
    """A prior's name in words, its modality by its label."""
    head, _, where = name.partition("[")
    labels = words_of(pset.ledger).labels["modality"]
    parts = [labels.get(part, part.replace("_", " ")) for part in where.removesuffix("]").split(", ") if part]
    return ", ".join([head.replace("_", " "), *parts])


def in_unit(value: float, unit: str) -> str:
    """A value as a reader writes it in its unit."""
    if unit.startswith("fraction"):
        return f"{100 * value:.2g} %"
    if unit == "stated / true":
        return f"{100 * (value - 1):+.0f} %"
    return short(value)


def _tornado_rows(bars: pd.DataFrame, centre: float, pset: PriorSet) -> pd.DataFrame:
    """Two rows of the figure's data for each bar, one for either end."""
    rows = []
    called = unlike(label(name, pset) for name in bars["input"])
    for name, row in zip(called, records(bars), strict=True):
        for end, other in (("low", "high"), ("high", "low")):
            reached = row[f"mean_{end}"]
            right = reached >= row[f"mean_{other}"]  # the end that lies to the right
            rows.append(
                {
                    "part": "tornado",
                    "name": name,
                    "end": end,
                    "from": centre,
                    "to": reached,
                    "side": "right" if right else "left",
                    "text": in_unit(row[f"value_{end}"], row["unit"]),
                    "text_at": max(reached, centre) if right else min(reached, centre),
                }
            )
    return pd.DataFrame(rows)


def _view_rows(views: pd.DataFrame) -> pd.DataFrame:
    """A row of the figure's data for each view."""
    return pd.DataFrame(
        {
            "part": "views",
            "name": unlike(
                KIND_WORDS[row["kind"]] + ("the run" if row["kind"] == "run" else row["name"]) for row in records(views)
            ),
            "colour": ["without" if kind == "claim left out" else "with" for kind in views["kind"]],
            "from": views["low_90"].to_numpy(),
            "to": views["high_90"].to_numpy(),
            "median": views["median"].to_numpy(),
            "text": [f"{median:,.0f}" for median in views["median"]],
        }
    )


def _tornado(shown: pd.DataFrame, title: str, centre: float, height: float) -> Spec:
    rows = shown[shown["part"] == "tornado"]
    span = float((rows["to"] - centre).abs().max()) if len(rows) else 1.0
    reach = (1 + SIDE) * (span or 1.0)
    x = money("from", title, scale={"domain": [centre - reach, centre + reach], "nice": False, "zero": False})
    y = names("name", list(dict.fromkeys(rows["name"])), {"labelLimit": LONG_NAME})
    end = colours("end", ["low", "high"], [NEUTRAL, ACCENT])
    text = {"y": y, "x": x | {"field": "text_at"}, "text": {"field": "text"}}
    numbers = [
        {
            "transform": [{"filter": {"field": "side", "equal": side}}],
            **mark("text", text, align=align, dx=dx, color=QUIET),
        }
        for side, align, dx in (("right", "left", 5), ("left", "right", -5))
    ]
    return panel(
        "One assumption moved at a time",
        [
            mark("bar", {"y": y, "x": x, "x2": {"field": "to"}, "color": end}, height={"band": 0.62}),
            *numbers,
            at_level(x, centre),
        ],
        only={"part": "tornado"},
        width=1.4 * PANEL,
        height=height,
    )


def _views(shown: pd.DataFrame, title: str, median: float, above: float, height: float) -> Spec:
    rows = shown[shown["part"] == "views"]
    x = money("from", title, scale={"zero": False})
    y = names("name", rows["name"].tolist(), {"labelLimit": LONG_NAME})
    colour = colours("colour", ["with", "without"], [ACCENT, CONTRAST])
    middle = {"y": y, "x": x | {"field": "median"}, "color": colour}
    number = {"y": y, "x": x | {"field": "median"}, "text": {"field": "text"}}
    levels = [at_level(x, median)]
    if np.isfinite(above):
        levels.append(at_level(x, above, color=CONTRAST, strokeDash=[4, 3]))
    return panel(
        "Other views",
        [
            *levels,
            mark("rule", {"y": y, "x": x, "x2": {"field": "to"}, "color": colour}, strokeWidth=3, opacity=0.55),
            mark("point", middle, filled=True, size=60, opacity=1),
            *halo(mark("text", number, dy=-11, fontSize=SMALL, color=INK)),
        ],
        only={"part": "views"},
        width=1.2 * PANEL,
        height=height,
    )


def at_level(x: Spec, level: float, **look: Any) -> Spec:
    """A line across a panel at one level of its axis `x`."""
    at = {"x": {"datum": level, "type": "quantitative", "scale": x["scale"]}}
    return once(mark("rule", at, **{"color": INK, **look}))
