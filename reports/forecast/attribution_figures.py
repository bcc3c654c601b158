"""Figures of a run's tables: the growth bridge and the variance budget, each under its message."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from postcgrp.priors import PriorSet
from postcgrp.reports.forecast import growth_bridge, variance_budget
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL, SEGMENT_COLOURS
from postcgrp.reports.forecast.figures import Drawer
from postcgrp.reports.forecast.style import panel_title, panels, percentages, whole_numbers

EFFECT_COLOURS = {
    "patients": SEGMENT_COLOURS[1],
    "mix": SEGMENT_COLOURS[3],
    "adoption": SEGMENT_COLOURS[0],
    "intensity": SEGMENT_COLOURS[2],
}
EFFECT_WORDS = {
    "patients": "more patients",
    "mix": "their mix",
    "adoption": "adoption",
    "intensity": "spend per treated",
}
Tables = Mapping[str, pd.DataFrame]  # a run's tables by file name


def bridge_waterfall(tables: Tables, pset: PriorSet) -> Figure:
    """The growth bridge of the total, with 90 % intervals, and the mean effects in every modality and region."""
    rows, probability = tables["growth_bridge"], tables["growth_claim"].set_index("reading")["probability"]
    total: Any = rows[rows["segment"] == ""].set_index("effect")
    first, last = pset.ledger.report.first_year, pset.ledger.report.last_year
    effects = [str(e) for e in total.loc[list(growth_bridge.EFFECTS), "mean"].sort_values(ascending=False).index]
    start, end = total.loc["start", "mean"], total.loc["end", "mean"]
    parts = ", ".join(f"{EFFECT_WORDS[e]} {total.loc[e, 'mean']:+,.0f}" for e in effects if e != "mix")
    figure, (left, right) = panels(2, f"From {start:,.0f} to {end:,.0f} by {last}: {parts}", widths=(1.1, 1))
    figure.set_size_inches(10.5, 4.8)
    names = ["start", *effects, "end"]
    level = 0.0
    for at, name in enumerate(names):
        row = total.loc[name]
        base = 0.0 if name in ("start", "end") else level
        level = base + row["mean"]
        left.bar(at, row["mean"], bottom=base, color=EFFECT_COLOURS.get(name, NEUTRAL), width=0.66)
        left.plot([at, at], [base + row["low_90"], base + row["high_90"]], color="#333333", lw=1.2)
        left.annotate(
            f"{row['mean']:{',.0f' if name in ('start', 'end') else '+,.0f'}}",
            (at, base + max(row["high_90"], row["mean"])),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            weight="bold",
        )
        if name != "end":
            left.plot([at + 0.33, at + 0.67], [level, level], color="#777777", lw=0.8)
    ends = {"start": str(first), "end": str(last)}
    left.set_xticks(range(len(names)), [ends.get(n) or fill(EFFECT_WORDS[n], 9) for n in names], fontsize=9)
    left.set_ylabel(f"Revenue, {pset.ledger.report.currency} million a year")
    whole_numbers(left.yaxis)
    left.grid(visible=False, axis="x")
    left.margins(y=0.1)
    panel_title(left, "Mean effects, with 90 % intervals")
    _by_segment(right, rows[rows["segment"] != ""], pset, effects)
    figure.supxlabel(
        "Adds more than growing patient numbers do: spend per treated with probability "
        f"{_chance(probability['intensity alone'])}, with adoption and mix {_chance(probability['per patient'])}",
        fontsize=9.5,
        color=CONTRAST,
    )
    return figure


def budget_bars(tables: Tables, pset: PriorSet) -> Figure | None:
    """The variance budget of the last year's interval: shares, and what knowing each group alone would take away.

    Returns None where the run has too few draws for a budget.
    """
    if (table := tables["variance_budget"]).empty:
        return None
    year, rows = pset.ledger.years[-1], table[table["group"] != variance_budget.UNATTRIBUTED]
    revenue: Any = tables["growth_bridge"].query("segment == '' and effect == 'end'").iloc[0]
    first = rows.iloc[0]
    title = f"{first['group'].capitalize()} makes {first['share']:.0%} of the interval around {year}"
    figure, (axes,) = panels(1, f"{title} ({revenue['low_90']:,.0f}-{revenue['high_90']:,.0f})")
    at = np.arange(len(rows))
    axes.barh(at, rows["share"], color=ACCENT, height=0.6, xerr=2 * rows["se"], error_kw={"lw": 1.2})
    axes.plot(rows["first_order"], at, "D", color="white", mec=CONTRAST, mew=1.5, ms=6, ls="none", clip_on=False)
    axes.set_yticks(at, rows["group"])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.05 * max(rows["first_order"].max(), rows["share"].max()))
    percentages(axes.xaxis)
    axes.set_xlabel("Share of the variance of log revenue")
    axes.plot([], [], "s", color=ACCENT, ms=9, label="its share: all shares add up to 100 % (± 2 se)")
    axes.plot([], [], "D", color="white", mec=CONTRAST, mew=1.5, label="gone if this alone became known")
    axes.legend(loc="lower right", fontsize=9)
    return figure


TABLE_FIGURES: dict[str, Drawer[Tables]] = {"variance_budget": budget_bars, "growth_bridge": bridge_waterfall}


def _by_segment(axes: Axes, rows: pd.DataFrame, pset: PriorSet, effects: list[str]) -> None:
    names = list(dict.fromkeys(rows["name"]))
    means = rows.pivot_table("mean", "name", "effect", sort=False).loc[names, effects].to_numpy()
    up, down = np.maximum(means, 0).cumsum(axis=1), np.minimum(means, 0).cumsum(axis=1)  # gains and losses apart
    for column, effect in enumerate(effects):
        ends, amounts = np.where(means > 0, up, down)[:, column], means[:, column]
        axes.barh(range(len(names)), amounts, left=ends - amounts, color=EFFECT_COLOURS[effect], height=0.62)
    for at, (gain, change) in enumerate(zip(up[:, -1], means.sum(axis=1), strict=True)):
        axes.annotate(f"{change:+,.0f}", (gain, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axhline(len(pset.ledger.regions) - 0.5, color="#cccccc", lw=0.8)
    axes.set_yticks(range(len(names)), [_short(name, pset) for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.16)
    axes.set_xlabel(f"{pset.ledger.report.currency} million a year")
    panel_title(axes, "By region and by modality, colours as on the left")


def _short(name: str, pset: PriorSet) -> str:
    """A modality's name by the first word of its label, any other as it is."""
    labels = {m.name: (m.label or m.name).split()[0] for m in pset.ledger.modalities}
    return labels.get(name, name)


def _chance(probability: float) -> str:
    return "> 99.9 %" if probability > 0.999 else "< 0.1 %" if probability < 0.001 else f"{100 * probability:.0f} %"  # noqa: PLR2004
