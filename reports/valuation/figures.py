"""The figure of a valuation: the distribution of value by how the deal ends, the money over time, and what moves it."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from postcgrp.reports.forecast import figures
from postcgrp.reports.valuation.tables import EVERY
from postcgrp.reports.valuation.valuation import Valuation

BARS = 12
BINS = 60
EDGES = (0.002, 0.998)  # of the draws shown
DEAL, MARKET = figures.POSTERIOR, figures.SEGMENTS[1]
LOSS, GAIN = figures.REPORT, figures.SEGMENTS[2]
BIG = 1000
TITLE_WIDTH = 104  # characters
OVER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind labels that lines may cross
TABLES = ("captured.", "economics.", "risk.phase.", "discounting.")


def figure(one: Valuation, table: pd.DataFrame, tornado: pd.DataFrame) -> Figure:
    """Value, flows and tornado of one deal; `table` and `tornado` are its figures (see `reports.value_table`)."""
    said = table[table["given"] == EVERY].set_index("quantity")["value"]
    drawn = Figure(figsize=(10.5, 7.6), layout="constrained")
    message = (
        f"{one.deal.name}: worth {one.currency} {said['rNPV, mean']:.1f} million on average; "
        f"it loses money with a probability of {said['P(NPV < 0)']:.0%}"
    )
    drawn.suptitle(
        fill(message, TITLE_WIDTH),
        x=0.01,
        ha="left",
        weight="bold",
        fontsize=12,
    )
    grid = drawn.add_gridspec(2, 2, height_ratios=(1, 1.25), width_ratios=(1.15, 1))
    _distribution(drawn.add_subplot(grid[0, 0]), one, said)
    _flows(drawn.add_subplot(grid[0, 1]), one)
    _tornado(drawn.add_subplot(grid[1, :]), one, tornado.head(BARS), float(said["rNPV, mean"]))
    return drawn


def save_figures(one: Valuation, table: pd.DataFrame, tornado: pd.DataFrame, path: Path, recipe: str) -> Path:
    """Write the figure as PNG and SVG, each naming the run's recipe; returns the PNG's path."""
    with mpl.rc_context(figures.STYLE):
        return figures.save(figure(one, table, tornado), path, recipe)


def _distribution(axes: Axes, one: Valuation, said: pd.Series[float]) -> None:
    ends = one.ends
    low, high = np.quantile(ends.npv, EDGES)
    room = 0.02 * (high - low) or 1.0
    bins = np.linspace(low - room, high + room, BINS)
    colours = [*figures.SEGMENTS[5:2:-1], "#b0b0b0"] if one.deal.phases else []
    colours = [*colours[: len(one.deal.phases)], DEAL]
    shares = ends.probability / len(ends.npv)
    axes.hist(
        list(ends.npv.T),
        bins=list(bins),
        weights=list(shares.T),
        stacked=True,
        color=[colours[min(k, len(colours) - 1)] for k in range(len(one.outcomes))],
        label=[f"{name}: {p:.0%}" for name, p in zip(one.outcomes, ends.probability.mean(axis=0), strict=True)],
    )
    axes.axvline(0, color="#444444", lw=1)
    marks = {"5 %": "NPV, 5 % quantile", "median": "NPV, 50 % quantile", "95 %": "NPV, 95 % quantile"}
    top = axes.get_ylim()[1]
    axes.set_ylim(0, 1.4 * top)
    for name, quantity in marks.items():
        level = 1.04 if name == "median" else 1.2  # or the labels of two near quantiles would overlap
        axes.axvline(said[quantity], color=LOSS, lw=1, ls="--", ymax=(level - 0.01) / 1.4)
        axes.annotate(
            f"{name}\n{said[quantity]:,.1f}",
            (said[quantity], level * top),
            ha="center",
            color=LOSS,
            fontsize=8.5,
            weight="bold",
            bbox=OVER,
        )
    ending = ", and how the deal ends" if one.deal.phases else ""
    axes.set_title(f"Net present value{ending}", fontsize=10.5, weight="normal")
    axes.set_xlabel(f"NPV, {one.currency} million")
    axes.set_ylabel("Probability of each bar")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if one.deal.phases:
        axes.legend(loc="center right", fontsize=8.5, frameon=True, edgecolor="none")


def _flows(axes: Axes, one: Valuation) -> None:
    expected = (one.ends.probability[:, :, None] * one.ends.flows).sum(axis=1)
    expected[:, 0] -= one.ends.upfront
    mean, years = expected.mean(axis=0), np.array(one.years)
    axes.bar(years, mean, color=[LOSS if m < 0 else GAIN for m in mean], width=0.7, label="expected flow")
    q05, q50, q95 = np.quantile(np.cumsum(expected, axis=1), (0.05, 0.5, 0.95), axis=0)
    axes.fill_between(years, q05, q95, color=DEAL, alpha=0.18, lw=0, label="cumulative, 90 % of draws")
    axes.plot(years, q50, color=DEAL, lw=2, label="cumulative, median")
    axes.axhline(0, color="#444444", lw=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.set_title("Expected cash after tax, undiscounted", fontsize=10.5, weight="normal")
    axes.set_ylabel(f"{one.currency} million")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=8.5
    )  # below: no corner is surely free


def _tornado(axes: Axes, one: Valuation, rows: pd.DataFrame, centre: float) -> None:
    shown = rows.iloc[::-1]
    place = np.arange(len(shown))
    for side in ("low", "high"):
        ends = shown[f"rnpv_{side}"].to_numpy()
        colours = [DEAL if of == "deal" else MARKET for of in shown["of"]]
        axes.barh(place, ends - centre, left=centre, color=colours, alpha=0.55 if side == "low" else 1, height=0.72)
    axes.axvline(centre, color="#444444", lw=1)
    axes.set_yticks(place, [_label(row) for _, row in shown.iterrows()], fontsize=8.5)
    axes.set_title(
        "What moves the mean: rNPV at a low (pale) and a high (full) value of each input, 5 % and 95 %",
        fontsize=10.5,
        weight="normal",
    )
    axes.set_xlabel(f"rNPV, {one.currency} million", loc="left")
    axes.plot([], [], color=DEAL, lw=6, label="the deal's own")
    axes.plot([], [], color=MARKET, lw=6, label="the market's (revenue = patients x use x price)")
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.08), ncols=2, fontsize=8.5)  # below: bars differ by deal


def _label(row: pd.Series[Any]) -> str:
    name = str(row["input"])
    if name == "technical success":
        return "technical success (no, yes)"
    low, high = (_number(row[end]) for end in ("input_low", "input_high"))
    return f"{plain(name)} ({low} to {high})"


def plain(path: str) -> str:
    """An input's path in words: `economics.cost.trial.by_year[1]` is "cost trial, year 1"."""
    name = next((path.removeprefix(table) for table in TABLES if path.startswith(table)), path)
    words = name.replace("_", " ").replace(".by year", ", year ").replace(".", " ")
    return words.replace("[", "").replace("]", "")


def _number(value: object) -> str:
    number = float(str(value))
    if BIG < number < 10 * BIG and number % 1 and 2000 < number < 2100:  # noqa: PLR2004  a year with its fraction
        return f"{number:.1f}"
    return f"{number:,.0f}" if abs(number) >= BIG else f"{number:.3g}"
