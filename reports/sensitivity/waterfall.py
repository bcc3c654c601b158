"""The waterfall from one run to another: what moved the last year's total."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postcgrp.reports.forecast import figures
from postcgrp.reports.sensitivity.comparison import leading

SHOWN = 9  # factors that are clear of Monte-Carlo error; the others are one bar
UP, DOWN, OTHER = figures.POSTERIOR, figures.REPORT, figures.PRIOR
NAME_WIDTH = 46
ROOM = 0.12  # of the range, on either side


def waterfall(why: pd.DataFrame, means: tuple[float, float], names: tuple[str, str], what: str) -> Figure:
    """Mean of one quantity from the first run to the second, one bar a factor, the largest first.

    Parameters: `why`, the rows of one quantity of :class:`Comparison`; `means` of both runs;
    `names` of both; `what`, the quantity and its unit. Whiskers are 95 % Monte-Carlo intervals of each part.
    """
    table = leading(why, SHOWN)
    rows: list[Any] = list(table.itertuples())
    start = means[0] + np.concatenate([[0.0], np.cumsum(table["moves"])[:-1]])
    largest = rows[0]
    moved, ways = means[1] - means[0], "up" if means[1] > means[0] else "down"
    first = "" if largest.kind == "rest" else f", most by {largest.factor} ({largest.moves:+,.0f})"
    figure = Figure(figsize=(9.5, 1.5 + 0.36 * (len(rows) + 2)), layout="constrained")
    figure.suptitle(f"{what}: {ways} {abs(moved):,.0f}{first}", x=0.01, ha="left", weight="bold", fontsize=12)
    axes = figure.subplots()
    ends = np.concatenate([start, start + table["moves"].to_numpy(), means])
    room = max(ROOM * float(np.ptp(ends)), 0.5)
    for y, mean in zip((0, len(rows) + 1), means, strict=True):
        axes.plot(mean, y, "o", color="#222222")
        axes.annotate(f"{mean:,.0f}", (mean, y), xytext=(8, 0), textcoords="offset points", va="center", weight="bold")
        axes.axvline(mean, color="#444444", lw=0.6, ls=":", zorder=0)
    for y, (left, row) in enumerate(zip(start, rows, strict=True), start=1):
        colour = OTHER if row.kind == "rest" else UP if row.moves > 0 else DOWN
        axes.barh(y, row.moves, left=left, color=colour, height=0.62)
        end, error = left + row.moves, 1.96 * np.nan_to_num(row.moves_mcse)
        if error:
            axes.errorbar(end, y, xerr=error, color="#222222", lw=1, capsize=2)
        edge = max(left, end + error)
        note = f"{row.moves:+,.1f}" if abs(row.moves) < 10 else f"{row.moves:+,.0f}"  # noqa: PLR2004
        axes.annotate(note, (edge, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    labels = [f"{shorten(row.factor, NAME_WIDTH, placeholder=' …')}\n{_short(row.change)}" for row in rows]
    axes.set_yticks(range(len(rows) + 2), [names[0], *labels, names[1]], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(ends.min() - room, ends.max() + 2 * room)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Mean of {what[0].lower()}{what[1:]}; whiskers: 95 % Monte-Carlo interval", fontsize=9)
    return figure


def save(
    why: pd.DataFrame, means: tuple[float, float], names: tuple[str, str], what: str, path: Path, recipe: str
) -> Path:
    """Write the figure as PNG and SVG, naming its recipe; returns the PNG's path."""
    with mpl.rc_context(figures.STYLE):
        return figures.save(waterfall(why, means, names, what), path, recipe)


def _short(change: str) -> str:
    return shorten(change, NAME_WIDTH, placeholder=" …")
