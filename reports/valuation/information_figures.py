"""Value of information as one figure: what each thing is worth to learn before deciding."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, SEGMENT_COLOURS
from postcgrp.reports.forecast.style import new_figure, save_figure, styled
from postcgrp.reports.valuation.figures import INPUT_TABLES, OVER_LINES, input_in_words

INPUT, STUDY, LIMIT = ACCENT, SEGMENT_COLOURS[2], CONTRAST
_MOST_BARS = 16
NAME_WIDTH, DEAL_WIDTH, _MESSAGE_WIDTH = 44, 32, 78  # characters
NEGLIGIBLE = 0.005  # of the EVPI: rows below it share one line of the caption


def worth_bars(information: pd.DataFrame, unit: str) -> Figure:
    """Bars of what inputs, groups and studies are worth, two standard errors each way, the EVPI as a line.

    Parameters: `information`, a table of :func:`postcgrp.reports.valuation.information.information_table`; `unit`
    of its values, such as "USD million".
    """
    total, rows = float(information["value"].iloc[0]), information.iloc[1:].sort_values("value", ascending=False)
    kept = rows[rows["value"] > NEGLIGIBLE * total].head(_MOST_BARS)
    kept = kept if len(kept) else rows.head(1)
    figure = new_figure(fill(_message(kept, total, unit), _MESSAGE_WIDTH), 8.6, 2.1 + 0.34 * len(kept))
    axes = figure.subplots()
    study = kept["kind"] == "EVSI"
    axes.barh(
        [fill(_words(name), NAME_WIDTH, max_lines=2, placeholder="…") for name in kept["name"]],
        kept["value"],
        xerr=2 * kept["se"],
        color=[STUDY if each else INPUT for each in study],
        error_kw={"ecolor": "#333333", "elinewidth": 1, "capsize": 2},
        height=0.66,
    )
    right = max(total, float((kept["value"] + 2 * kept["se"]).max()))
    for k, (value, error, share) in enumerate(zip(kept["value"], kept["se"], kept["share"], strict=True)):
        axes.annotate(
            f"{value:,.3g} ({share:.0%})",
            (value + 2 * error, k),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color="#333333",
            bbox=OVER_LINES,
        )
    axes.axvline(total, color=LIMIT, lw=1.4, ls="--")
    axes.annotate(
        f"everything known (EVPI): {total:,.3g}",
        (total, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=LIMIT,
        weight="bold",
        fontsize=9,
    )
    axes.margins(y=0.02)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.16 * right if right > 0 else 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
    axes.set_xlabel(f"{unit} (share of EVPI); lines: two standard errors")
    handles = [Patch(color=INPUT, label="learned exactly (EVPPI)")]
    if study.any():
        handles.append(Patch(color=STUDY, label="a study of it (EVSI)"))
    rest = len(rows) - len(kept)
    if rest:
        handles.append(Patch(color="none", label=f"{rest} more are worth less"))
    figure.legend(handles=handles, loc="outside lower right", ncols=3, fontsize=8.5)
    return figure


def save_information(information: pd.DataFrame, unit: str, path: Path, recipe: str) -> Path:
    """Draw :func:`worth_bars` as PNG and SVG with the hash of the recipe; returns the PNG's path."""
    with styled():
        return save_figure(worth_bars(information, unit), path, recipe)


def _message(kept: pd.DataFrame, total: float, unit: str) -> str:
    if total <= 0:
        return "Nothing is worth learning: one alternative is best in every draw"
    single = kept[(kept["kind"] == "EVSI") | (kept["learned"].map(len) == 1)]
    first = (single if len(single) else kept).iloc[0]
    if first["value"] <= 2 * first["se"]:
        return f"No single thing is surely worth learning; all together are worth {unit} {total:,.3g}"
    worth = f"{first['value']:,.3g} {unit} ({first['share']:.0%} of everything)"
    return f"Most worth learning: {_words(first['name'])}, {worth}"


def _words(name: str) -> str:
    """A deal's input in words, after the deal's name where there are several; any other name as it is."""
    deal, colon, path = name.rpartition(": ")
    short = f"{deal[:DEAL_WIDTH]}…" if len(deal) > DEAL_WIDTH else deal
    return f"{short}{colon}{input_in_words(path) if path.startswith(INPUT_TABLES) else path}"
