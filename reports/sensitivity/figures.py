"""The figure of `postcgrp sensitivity`: what moves the last year's revenue most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from postcgrp.priors import PriorSet
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import panel_title, panels, save_figure, styled, whole_numbers

_MOST_BARS = 12  # of the tornado
MOST_LEFT_OUT = 5  # claims among the other views
MOST_OF_GRID = 9


def save_sensitivity(
    pset: PriorSet, table: pd.DataFrame, tables: Mapping[str, pd.DataFrame], path: Path, recipe: str, above: float
) -> Path:
    """Draw the figure as PNG and SVG; returns the PNG's path.

    Parameters: `table`, one row per posterior; `tables`, with `tornado`; `above`, in millions, the report's point of
    the last year or the user's level, NaN for none; `recipe`, the hash that both files carry.
    """
    with styled():
        return save_figure(tornado_and_views(pset, table, tables["tornado"], above), path, recipe)


def tornado_and_views(pset: PriorSet, table: pd.DataFrame, moves: pd.DataFrame, above: float) -> Figure:
    """The tornado of assumptions on the left, other views of the same market on the right."""
    bars = moves[moves["swing"].notna()].head(_MOST_BARS)
    figure, (left, right) = panels(2, what_moves_most(pset, bars), widths=(1.15, 1))
    views = views_shown(table)
    figure.set_size_inches(12.5, 1.7 + 0.36 * max(len(bars), len(views), 4))
    base = table.iloc[0]
    _tornado(left, bars, float(base["mean"]), pset)
    _views(right, views, float(base["median"]), above, pset)
    return figure


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
    """A prior's name in words: modalities by the first word of their labels."""
    for modality in pset.ledger.modalities:
        name = name.replace(modality.name, (modality.label or modality.name).split()[0].lower())
    head, _, where = name.replace("_", " ").partition("[")
    return f"{head}, {where.replace(']', '')}" if where else head


def in_unit(value: float, unit: str) -> str:
    """A value as a reader writes it in its unit."""
    if unit.startswith("fraction"):
        return f"{100 * value:.2g} %"
    if unit == "stated / true":
        return f"{100 * (value - 1):+.0f} %"
    return short(value)


def _tornado(axes: Axes, bars: pd.DataFrame, centre: float, pset: PriorSet) -> None:
    span = float(np.abs(bars[["mean_low", "mean_high"]].to_numpy() - centre).max()) if len(bars) else 1.0
    for at, row in enumerate(records(bars)):
        for end, other, colour in (("low", "high", NEUTRAL), ("high", "low", ACCENT)):
            reached = row[f"mean_{end}"]
            axes.barh(at, reached - centre, left=centre, color=colour, height=0.62)
            right = reached >= row[f"mean_{other}"]  # the end that lies to the right
            axes.annotate(
                in_unit(row[f"value_{end}"], row["unit"]),
                (max(reached, centre) if right else min(reached, centre), at),
                xytext=(4 if right else -4, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=8.5,
                color="#555555",
            )
    axes.axvline(centre, color="#333333", lw=0.8)
    axes.set_yticks(range(len(bars)), [label(name, pset) for name in bars["input"]], fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(centre - 1.4 * span, centre + 1.4 * span)
    panel_title(axes, "One assumption moved at a time, all else fitted again")
    axes.set_xlabel(
        f"Mean revenue {pset.ledger.years[-1]}, {pset.ledger.report.currency} million. Centre of the prior at its own "
        "10 % (grey)\nand 90 % point (blue), its width unchanged. Numbers: that centre (of an error: how far the\n"
        f"report is above the truth). Monte-Carlo error of a bar's whole length: {bars['swing_se'].max():.0f}",
        fontsize=9,
    )
    whole_numbers(axes.xaxis)


def _views(axes: Axes, views: pd.DataFrame, median: float, above: float, pset: PriorSet) -> None:
    for at, row in enumerate(records(views)):
        colour = CONTRAST if row["kind"] == "claim left out" else ACCENT
        axes.plot([row["low_90"], row["high_90"]], [at, at], color=colour, lw=2.4, alpha=0.5, solid_capstyle="butt")
        axes.plot(row["median"], at, "o", color=colour, ms=6, zorder=4)
        axes.annotate(
            f"{row['median']:,.0f}",
            (row["median"], at),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            zorder=3,
        )
    axes.axvline(median, color="#333333", lw=0.8)
    if np.isfinite(above):
        axes.axvline(above, color=CONTRAST, lw=0.9, ls=":")
        axes.annotate(
            f"{above:,.0f}",
            (above, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=CONTRAST,
        )
    kinds = {"prior set": "set: ", "claim left out": "without ", "grid": "", "run": ""}
    names = [kinds[row["kind"]] + (row["name"] if row["kind"] != "run" else "the run") for row in records(views)]
    axes.set_yticks(range(len(views)), names, fontsize=9)
    axes.set_ylim(len(views) - 0.4, -0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=False, axis="y")
    panel_title(axes, "Other views: median and 90 % interval")
    axes.set_xlabel(f"Revenue {pset.ledger.years[-1]}, {pset.ledger.report.currency} million", fontsize=9)
    whole_numbers(axes.xaxis)
