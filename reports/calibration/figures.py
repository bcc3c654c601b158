"""The verdict of simulation-based calibration as a figure and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from postcgrp.inference.convergence import Check, gate_table
from postcgrp.inference.ranks import ERROR, ERROR_SHARES, JOINT, KINDS, MIN_REFITS, TOO_FEW, Array, band, ecdf, outcome
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST
from postcgrp.reports.forecast.style import MESSAGE, panel_title, save_figure, styled

FINE, FAILING, BAND = ACCENT, CONTRAST, "#dfe5ea"
MOST_PANELS, PANELS_PER_ROW = 20, 5
TITLE_WIDTH = 26  # characters in a line of a panel's title
MOST_NAMED = 3  # of the quantities that fail in the last panel


def ecdf_panels(pits: ArrayLike, names: Sequence[str], checks: Sequence[Check], title: str = "") -> Figure:
    """ECDF minus uniform of every quantity, with simultaneous bands (Saeilynoja, Buerkner & Vehtari 2022).

    Primary quantities, and others that fail, have a panel each while there is room; the last panel holds the rest.
    Parameters: `pits` [refit, quantity]; `names` [quantity]; `checks`, the verdict; `title`, what was checked.
    """
    u = dict(zip(names, np.asarray(pits, dtype=float).T, strict=True))
    judged = {check.where: check for check in checks if check.check in ("primary", "other")}
    wanted = [name for name, check in judged.items() if check.check == "primary" or not check.passed]
    first = sorted(wanted, key=lambda name: (judged[name].check != "primary", judged[name].passed))[:MOST_PANELS]
    shown, rest = [name for name in wanted if name in first], [name for name in judged if name not in first]
    rows, last = -(-len(shown) // PANELS_PER_ROW), int(bool(rest))
    height = 1.0 + 1.7 * rows + 2.7 * last
    drawn = Figure(figsize=(11, height), layout="constrained")
    drawn.suptitle(f"{_message(checks, judged)}\n", **MESSAGE, linespacing=1.7)
    note = f"Shaded: band of the whole curve; mean and spread may depart inside it; error over all tests {ERROR:.0%}"
    drawn.text(0.01, 1 - 0.45 / height, f"{title}. {note}" if title else note, fontsize=9, color="#444444")
    grid = drawn.add_gridspec(rows + last, PANELS_PER_ROW, height_ratios=[1.0] * rows + [1.6] * last)
    limit = 1.35 * max(_extent(column, ERROR / KINDS / len(u)) for column in u.values())  # with room for a word
    for i, name in enumerate(shown):
        axes = drawn.add_subplot(grid[i // PANELS_PER_ROW, i % PANELS_PER_ROW])
        _panel(axes, u, [judged[name]], judged, limit)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_title(fill(name, TITLE_WIDTH), fontsize=9, weight="normal" if judged[name].passed else "bold")
        axes.tick_params(labelsize=8, labelleft=i % PANELS_PER_ROW == 0, labelbottom=i + PANELS_PER_ROW >= len(shown))
    if rest:
        axes = drawn.add_subplot(grid[rows, :])
        _panel(axes, u, [judged[name] for name in rest], judged, limit)
        panel_title(axes, f"{'The other' if shown else 'All'} {len(rest)} quantities", 9)
        axes.tick_params(labelsize=8)
    drawn.supxlabel("PIT: share of the posterior below the truth", fontsize=9)
    drawn.supylabel("ECDF of PIT, minus uniform", fontsize=9)
    return drawn


def save_calibration(
    pits: ArrayLike, names: Sequence[str], checks: Sequence[Check], path: Path, recipe: str, title: str = ""
) -> Path:
    """Draw :func:`ecdf_panels` as PNG and SVG with the hash of the recipe; returns the PNG's path."""
    with styled():
        return save_figure(ecdf_panels(pits, names, checks, title), path, recipe)


def calibration_table(checks: Sequence[Check]) -> pd.DataFrame:
    """The verdict, one row per check: failing ones first, then by adjusted p-value."""
    rows = gate_table(checks)
    return rows.sort_values(["passed", "figure"], kind="stable", na_position="first", ignore_index=True)


def _message(checks: Sequence[Check], judged: dict[str, Check]) -> str:
    by_name = {check.check: check for check in checks if check.check not in ("primary", "other")}
    refits, lost = int(by_name["refits"].figure), int(by_name["finite"].figure)
    failing = sum(not check.passed for check in judged.values())
    count = f"{failing or 'none'} of {len(judged)} quantities {'fail' if failing > 1 else 'fails'}"
    verdict = outcome(checks)
    if verdict == TOO_FEW:
        return f"{verdict.capitalize()}: {refits} of at least {MIN_REFITS}; {count} so far"
    words = [by_name[joint].advice.split(" together")[0] for joint in JOINT if not by_name[joint].passed]
    more = f"; PITs that are not finite: {lost}" if lost else f"; all together: {' and '.join(words)}" if words else ""
    return f"{verdict[0].upper()}{verdict[1:]}: {count}{more} ({refits} refits)"


def _panel(axes: Axes, u: dict[str, Array], checks: list[Check], judged: dict[str, Check], limit: float) -> None:
    family = min(check.check for check in checks)  # a panel of both kinds has the band of the others
    size = sum(check.check == family for check in judged.values())
    x, low, high = band(len(u[checks[0].where]), ERROR * ERROR_SHARES[family] / KINDS / size)
    axes.fill_between(x, low - x, high - x, color=BAND, lw=0)
    axes.axhline(0, color="#888888", lw=0.6)
    heavy = 2.0 if len(checks) == 1 else 1.0
    failing = sorted((check for check in checks if not check.passed), key=lambda check: check.figure)
    for check in [*(check for check in checks if check.passed), *reversed(failing)]:
        if np.isfinite(u[check.where]).all():
            colour, width = (FINE, 0.6) if check.passed else (FAILING, 0.9)
            axes.plot(x, ecdf(u[check.where]) - x, color=colour, lw=width * heavy)
    if failing:
        reading = failing[0].advice.split(":")[0]
        worst = ", ".join(check.where for check in failing[:MOST_NAMED])
        note = reading if len(checks) == 1 else f"{len(failing)} of them fail, most of all {worst}"
        axes.text(
            0.97, 0.93, note, transform=axes.transAxes, ha="right", va="top", color=FAILING, weight="bold", size=8.5
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(-limit, limit)


def _extent(pits: Array, error: float) -> float:
    x, low, high = band(len(pits), error)
    return float(np.abs([*(ecdf(pits) - x), *(low - x), *(high - x)]).max())
