"""The figure of a valuation: the distribution of value by how the deal ends, the money over time, and what moves it."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, SEGMENT_COLOURS
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import new_figure, panel_title, percentages, save_figure, styled, whole_numbers
from postcgrp.reports.valuation.tables import EVERY
from postcgrp.reports.valuation.valuation import Valuation

_MOST_BARS = 12
_HISTOGRAM_BINS = 60
QUANTILES_SHOWN = (0.002, 0.998)  # quantiles between which draws are shown
DEAL, MARKET = ACCENT, SEGMENT_COLOURS[1]
LOSS, GAIN = CONTRAST, SEGMENT_COLOURS[2]
_MESSAGE_WIDTH = 104  # characters
OVER_LINES = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind labels that lines may cross
INPUT_TABLES = ("captured.", "economics.", "risk.phase.", "discounting.")


def value_flows_and_tornado(valuation: Valuation, table: pd.DataFrame, tornado: pd.DataFrame) -> Figure:
    """Value, flows and tornado of one deal, from its tables of figures and of swings."""
    figures = table[table["given"] == EVERY].set_index("quantity")["value"]
    message = (
        f"{valuation.deal.name}: worth {valuation.currency} {figures['rNPV, mean']:.1f} million on average; "
        f"it loses money with a probability of {figures['P(NPV < 0)']:.0%}"
    )
    figure = new_figure(fill(message, _MESSAGE_WIDTH), 10.5, 7.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.25), width_ratios=(1.15, 1))
    _distribution(figure.add_subplot(grid[0, 0]), valuation, figures)
    _flows(figure.add_subplot(grid[0, 1]), valuation)
    _tornado(figure.add_subplot(grid[1, :]), valuation, tornado.head(_MOST_BARS), float(figures["rNPV, mean"]))
    return figure


def save_valuation(valuation: Valuation, table: pd.DataFrame, tornado: pd.DataFrame, path: Path, recipe: str) -> Path:
    """Draw :func:`value_flows_and_tornado` as PNG and SVG with the run's recipe hash; returns the PNG's path."""
    with styled():
        return save_figure(value_flows_and_tornado(valuation, table, tornado), path, recipe)


def _distribution(axes: Axes, valuation: Valuation, figures: pd.Series[float]) -> None:
    ends = valuation.ends
    low, high = np.quantile(ends.npv, QUANTILES_SHOWN)
    margin = 0.02 * (high - low) or 1.0
    bins = np.linspace(low - margin, high + margin, _HISTOGRAM_BINS)
    colours = [*SEGMENT_COLOURS[5:2:-1], "#b0b0b0"] if valuation.deal.phases else []
    colours = [*colours[: len(valuation.deal.phases)], DEAL]
    shares = ends.probability / len(ends.npv)
    axes.hist(
        list(ends.npv.T),
        bins=list(bins),
        weights=list(shares.T),
        stacked=True,
        color=[colours[min(k, len(colours) - 1)] for k in range(len(valuation.outcomes))],
        label=[f"{name}: {p:.0%}" for name, p in zip(valuation.outcomes, ends.probability.mean(axis=0), strict=True)],
    )
    axes.axvline(0, color="#444444", lw=1)
    marks = {"5 %": "NPV, 5 % quantile", "median": "NPV, 50 % quantile", "95 %": "NPV, 95 % quantile"}
    top = axes.get_ylim()[1]
    axes.set_ylim(0, 1.4 * top)
    for name, quantity in marks.items():
        level = 1.04 if name == "median" else 1.2  # so that labels of close quantiles do not overlap
        axes.axvline(figures[quantity], color=LOSS, lw=1, ls="--", ymax=(level - 0.01) / 1.4)
        axes.annotate(
            f"{name}\n{figures[quantity]:,.1f}",
            (figures[quantity], level * top),
            ha="center",
            color=LOSS,
            fontsize=8.5,
            weight="bold",
            bbox=OVER_LINES,
        )
    ending = ", and how the deal ends" if valuation.deal.phases else ""
    panel_title(axes, f"Net present value{ending}")
    axes.set_xlabel(f"NPV, {valuation.currency} million")
    axes.set_ylabel("Probability of each bar")
    percentages(axes.yaxis)
    if valuation.deal.phases:
        axes.legend(loc="center right", fontsize=8.5, frameon=True, edgecolor="none")


def _flows(axes: Axes, valuation: Valuation) -> None:
    expected = (valuation.ends.probability[:, :, None] * valuation.ends.flows).sum(axis=1)
    expected[:, 0] -= valuation.ends.upfront
    mean, years = expected.mean(axis=0), np.array(valuation.years)
    axes.bar(years, mean, color=[LOSS if m < 0 else GAIN for m in mean], width=0.7, label="expected flow")
    q05, q50, q95 = np.quantile(np.cumsum(expected, axis=1), (0.05, 0.5, 0.95), axis=0)
    axes.fill_between(years, q05, q95, color=DEAL, alpha=0.18, lw=0, label="cumulative, 90 % of draws")
    axes.plot(years, q50, color=DEAL, lw=2, label="cumulative, median")
    axes.axhline(0, color="#444444", lw=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    whole_numbers(axes.yaxis)
    panel_title(axes, "Expected cash after tax, undiscounted")
    axes.set_ylabel(f"{valuation.currency} million")
    # Below the axes, because no corner is certain to be free.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=8.5)


def _tornado(axes: Axes, valuation: Valuation, rows: pd.DataFrame, centre: float) -> None:
    shown = rows.iloc[::-1]
    place = np.arange(len(shown))
    for side in ("low", "high"):
        ends = shown[f"rnpv_{side}"].to_numpy()
        colours = [DEAL if owner == "deal" else MARKET for owner in shown["of"]]
        axes.barh(place, ends - centre, left=centre, color=colours, alpha=0.55 if side == "low" else 1, height=0.72)
    axes.axvline(centre, color="#444444", lw=1)
    axes.set_yticks(place, [_label(row) for _, row in shown.iterrows()], fontsize=8.5)
    panel_title(axes, "What moves the mean: rNPV at a low (pale) and a high (full) value of each input, 5 % and 95 %")
    axes.set_xlabel(f"rNPV, {valuation.currency} million", loc="left")
    axes.plot([], [], color=DEAL, lw=6, label="the deal's own")
    axes.plot([], [], color=MARKET, lw=6, label="the market's (revenue = patients x use x price)")
    # Below the axes, because the bars of another deal fill another corner.
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.08), ncols=2, fontsize=8.5)


def _label(row: pd.Series[Any]) -> str:
    name = str(row["input"])
    if name == "technical success":
        return "technical success (no, yes)"
    low, high = (_number(row[end]) for end in ("input_low", "input_high"))
    return f"{input_in_words(name)} ({low} to {high})"


def input_in_words(path: str) -> str:
    """An input's path in words: `economics.cost.trial.by_year[1]` is "cost trial, year 1"."""
    name = next((path.removeprefix(table) for table in INPUT_TABLES if path.startswith(table)), path)
    words = name.replace("_", " ").replace(".by year", ", year ").replace(".", " ")
    return words.replace("[", "").replace("]", "")


def _number(value: object) -> str:
    number = float(str(value))
    if 2000 < number < 2100 and number % 1:  # noqa: PLR2004  a year with its fraction
        return f"{number:.1f}"
    return short(number)
