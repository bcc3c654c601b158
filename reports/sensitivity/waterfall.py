"""The waterfall from one run to another: what moved the last year's total."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL
from postcgrp.reports.forecast.style import new_figure, save_figure, styled
from postcgrp.reports.sensitivity.comparison import leading

MOST_FACTORS = 9  # with a bar of their own, clear of Monte-Carlo error; the others share one
UP, DOWN, REMAINDER = ACCENT, CONTRAST, NEUTRAL
_NAME_WIDTH = 46  # characters
SIDE_MARGIN = 0.12  # of the range, on either side


def waterfall(why: pd.DataFrame, means: tuple[float, float], names: tuple[str, str], quantity: str) -> Figure:
    """The mean of one quantity from the first run to the second, one bar per factor, the largest first.

    Parameters: `why`, the rows of one quantity of :class:`postcgrp.reports.sensitivity.comparison.Comparison`; `means`
    and `names` of both runs; `quantity`, its name and unit. Whiskers are 95 % Monte-Carlo intervals.
    """
    factors = leading(why, MOST_FACTORS)
    rows: list[Any] = list(factors.itertuples())
    start = means[0] + np.concatenate([[0.0], np.cumsum(factors["moves"])[:-1]])
    largest = rows[0]
    change, direction = means[1] - means[0], "up" if means[1] > means[0] else "down"
    most = "" if largest.kind == "rest" else f", most by {largest.factor} ({largest.moves:+,.0f})"
    message = f"{quantity}: {direction} {abs(change):,.0f}{most}"
    figure = new_figure(message, 9.5, 1.5 + 0.36 * (len(rows) + 2))
    axes = figure.subplots()
    ends = np.concatenate([start, start + factors["moves"].to_numpy(), means])
    margin = max(SIDE_MARGIN * float(np.ptp(ends)), 0.5)
    for y, mean in zip((0, len(rows) + 1), means, strict=True):
        axes.plot(mean, y, "o", color="#222222")
        axes.annotate(f"{mean:,.0f}", (mean, y), xytext=(8, 0), textcoords="offset points", va="center", weight="bold")
        axes.axvline(mean, color="#444444", lw=0.6, ls=":", zorder=0)
    for y, (left, row) in enumerate(zip(start, rows, strict=True), start=1):
        colour = REMAINDER if row.kind == "rest" else UP if row.moves > 0 else DOWN
        axes.barh(y, row.moves, left=left, color=colour, height=0.62)
        end, error = left + row.moves, 1.96 * np.nan_to_num(row.moves_mcse)
        if error:
            axes.errorbar(end, y, xerr=error, color="#222222", lw=1, capsize=2)
        edge = max(left, end + error)
        note = f"{row.moves:+,.1f}" if abs(row.moves) < 10 else f"{row.moves:+,.0f}"  # noqa: PLR2004
        axes.annotate(note, (edge, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    labels = [f"{shorten(row.factor, _NAME_WIDTH, placeholder=' …')}\n{_short(row.change)}" for row in rows]
    axes.set_yticks(range(len(rows) + 2), [names[0], *labels, names[1]], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(ends.min() - margin, ends.max() + 2 * margin)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Mean of {quantity[0].lower()}{quantity[1:]}; whiskers: 95 % Monte-Carlo interval", fontsize=9)
    return figure


def save_waterfall(
    why: pd.DataFrame, means: tuple[float, float], names: tuple[str, str], quantity: str, path: Path, recipe: str
) -> Path:
    """Draw :func:`waterfall` as PNG and SVG with the hash of its recipe; returns the PNG's path."""
    with styled():
        return save_figure(waterfall(why, means, names, quantity), path, recipe)


def _short(change: str) -> str:
    return shorten(change, _NAME_WIDTH, placeholder=" …")
