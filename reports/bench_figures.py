"""Figures of the modeller's bench: the growth bridge, the variance budget and power-scaling, message first."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports import bridge, budget
from postcgrp.reports.figures import POSTERIOR, REPORT, SEGMENTS, Draw, panels
from postcgrp.reports.summary import group, interval

NEUTRAL = "#9a9a9a"
COLOURS = {"patients": SEGMENTS[1], "mix": SEGMENTS[3], "adoption": SEGMENTS[0], "intensity": SEGMENTS[2]}
SHADES = LinearSegmentedColormap.from_list("psi", ["#ffffff", POSTERIOR])
SENSITIVE = 0.05  # the paper's threshold
WORDS = {"patients": "more patients", "mix": "their mix", "adoption": "adoption", "intensity": "spend per treated"}


def waterfall(run: DataTree, pset: PriorSet) -> Figure | None:
    """The growth bridge of the total, with 90 % intervals, and the mean effects in every modality and region."""
    bridged = bridge.bridge(run, pset)
    rows, says = bridge.table(bridged, pset), {name: float((m > 0).mean()) for name, m in bridge.ahead(bridged).items()}
    total: Any = rows[rows["segment"] == ""].set_index("effect")
    last = bridged.attrs["last"]
    effects = [str(e) for e in total.loc[list(bridge.EFFECTS), "mean"].sort_values(ascending=False).index]
    start, end = total.loc["start", "mean"], total.loc["end", "mean"]
    parts = ", ".join(f"{WORDS[e]} {total.loc[e, 'mean']:+,.0f}" for e in effects if e != "mix")
    figure, (left, right) = panels(2, f"From {start:,.0f} to {end:,.0f} by {last}: {parts}", widths=(1.1, 1))
    figure.set_size_inches(10.5, 4.8)
    names = ["start", *effects, "end"]
    level = 0.0
    for at, name in enumerate(names):
        row = total.loc[name]
        base = 0.0 if name in ("start", "end") else level
        level = base + row["mean"]
        left.bar(at, row["mean"], bottom=base, color=COLOURS.get(name, NEUTRAL), width=0.66)
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
    ends = {"start": str(bridged.attrs["first"]), "end": str(last)}
    left.set_xticks(range(len(names)), [ends.get(n) or fill(WORDS[n], 9) for n in names], fontsize=9)
    left.set_ylabel(f"Revenue, {pset.ledger.report.currency} million a year")
    left.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    left.grid(visible=False, axis="x")
    left.margins(y=0.1)
    left.set_title("Mean effects, with 90 % intervals", fontsize=10.5, weight="normal")
    _by_segment(right, rows[rows["segment"] != ""], pset, effects)
    alone, all_of_it = says["intensity alone"], says["per patient"]
    figure.supxlabel(
        f"Adds more than growing patient numbers do: spend per treated with probability {_chance(alone)}, "
        f"with adoption and mix {_chance(all_of_it)}",
        fontsize=9.5,
        color=REPORT,
    )
    return figure


def variance(run: DataTree, pset: PriorSet) -> Figure | None:
    """The variance budget of the last year's interval: shares, and what knowing each group alone would take away."""
    try:
        table = budget.variance_budget(run, pset)
    except InputError:  # too few draws
        return None
    year, rows = pset.ledger.years[-1], table[table["group"] != budget.REST]
    low, high = interval(group(run)["revenue_total"].sel(year=year), budget.WIDTH)
    first = rows.iloc[0]
    title = f"{first['group'].capitalize()} makes {first['share']:.0%} of the interval around {year}"
    figure, (axes,) = panels(1, f"{title} ({low:,.0f}-{high:,.0f})")
    at = np.arange(len(rows))
    axes.barh(at, rows["share"], color=POSTERIOR, height=0.6, xerr=2 * rows["se"], error_kw={"lw": 1.2})
    axes.plot(rows["first_order"], at, "D", color="white", mec=REPORT, mew=1.5, ms=6, ls="none", clip_on=False)
    axes.set_yticks(at, rows["group"])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.05 * max(rows["first_order"].max(), rows["share"].max()))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("Share of the variance of log revenue")
    axes.plot([], [], "s", color=POSTERIOR, ms=9, label="its share: all shares add up to 100 % (± 2 se)")
    axes.plot([], [], "D", color="white", mec=REPORT, mew=1.5, label="gone if this alone became known")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def power_scaling(run: DataTree, pset: PriorSet) -> Figure | None:
    """Power-scaling sensitivity of every quantity (columns) to every group (rows), with its direction."""
    from postcgrp.inference import powerscale  # starts JAX, which the other figures do without

    found = powerscale.sensitivity(powerscale.quantities(run, pset), powerscale.components(run, pset))
    table = found.pivot_table("psi", "group", "quantity", aggfunc="first", dropna=False, sort=False)
    order = table.max(axis=1).sort_values(ascending=False).index
    columns = list(dict.fromkeys(found["quantity"]))
    figure, (axes,) = panels(1, _strongest(found, pset))
    figure.set_size_inches(10.5, 1.6 + 0.34 * len(order))
    values = table.loc[order, columns].to_numpy()
    top = max(float(np.nanmax(values)), 2 * SENSITIVE)
    axes.imshow(values, cmap=SHADES, vmin=0, vmax=top, aspect="auto")
    cells = found.set_index(["group", "quantity"])
    for y, name in enumerate(order):
        for x, quantity in enumerate(columns):
            _cell(axes, (x, y), cells.loc[(name, quantity)], top)
    axes.set_yticks(range(len(order)), [_label(str(name), pset) for name in order])
    axes.set_xticks(range(len(columns)), [fill(_label(name, pset, short=True), 14) for name in columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        f"psi on {int(found['draws'].iloc[0]):,} draws; grey: no more than unrelated draws give; above {SENSITIVE:g} "
        "is called sensitive (bold)\n"
        "+ / -: counting the group more raises / lowers the mean; k: refused, Pareto k too high",
        fontsize=9,
    )
    return figure


OF_A_RUN: dict[str, Draw] = {"variance_budget": variance, "growth_bridge": waterfall}


def _by_segment(axes: Axes, rows: pd.DataFrame, pset: PriorSet, effects: list[str]) -> None:
    names = list(dict.fromkeys(rows["name"]))
    means = rows.pivot_table("mean", "name", "effect", sort=False).loc[names]
    for at, name in enumerate(names):
        up = down = 0.0
        for effect in effects:
            amount = float(means.loc[name, effect])
            base = up if amount >= 0 else down
            axes.barh(at, amount, left=base, color=COLOURS[effect], height=0.62)
            up, down = (up + amount, down) if amount >= 0 else (up, down + amount)
        axes.annotate(
            f"{up + down:+,.0f}", (up, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.axhline(len(pset.ledger.regions) - 0.5, color="#cccccc", lw=0.8)
    axes.set_yticks(range(len(names)), [_label(name, pset, short=True) for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.16)
    axes.set_xlabel(f"{pset.ledger.report.currency} million a year")
    axes.set_title("By region and by modality, colours as on the left", fontsize=10.5, weight="normal")


def _cell(axes: Axes, at: tuple[int, int], row: Any, top: float) -> None:
    if np.isnan(row["psi"]):
        axes.text(*at, "k" if row["refused"].startswith("Pareto") else "n/a", ha="center", va="center", color=REPORT)
        return
    sign = {"+": " +", "-": " \N{MINUS SIGN}", "0": ""}[str(row["sign"])]
    dark = row["psi"] > top / 2
    colour = "#b0b0b0" if row["psi"] <= row["noise"] and not dark else "white" if dark else "#222222"
    weight = "bold" if row["psi"] > max(SENSITIVE, row["noise"]) else "normal"
    axes.text(*at, f"{row['psi']:.3f}{sign}", ha="center", va="center", fontsize=9, color=colour, weight=weight)


def _strongest(found: pd.DataFrame, pset: PriorSet) -> str:
    real = found[found["psi"] > found["noise"]]
    if real.empty:
        return "No group of priors moves anything by more than chance"
    top = real.sort_values("psi").iloc[-1]
    count = int((real["psi"] > SENSITIVE).sum())
    what = f"{_label(str(top['quantity']), pset)} to {_label(str(top['group']), pset)} (psi {top['psi']:.2f})"
    return f"Most sensitive: {what}; {count or 'no'} of {len(found)} pairs above {SENSITIVE:g}"


def _label(name: str, pset: PriorSet, *, short: bool = False) -> str:
    """A name with modalities by their labels, or by the first word of these."""
    for modality in pset.ledger.modalities:
        if modality.name in name:
            label = modality.label or modality.name
            return name.replace(modality.name, label.split()[0] if short else label)
    return name


def _chance(probability: float) -> str:
    return "> 99.9 %" if probability > 0.999 else "< 0.1 %" if probability < 0.001 else f"{100 * probability:.0f} %"  # noqa: PLR2004
