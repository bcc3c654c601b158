"""The waterfall from one run to another: what moved the last year's total."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, NEUTRAL
from postcgrp.reports.forecast.drawing import draw
from postcgrp.reports.forecast.style import ROW, SMALL, WIDE, Spec, colours, figure, mark, money, names
from postcgrp.reports.forecast.words import unlike
from postcgrp.reports.sensitivity.comparison import leading

MOST_FACTORS = 9  # with a bar of their own, clear of Monte-Carlo error; the others share one
UP, DOWN, REMAINDER = ACCENT, CONTRAST, NEUTRAL
_NAME_WIDTH = 46  # characters
FACTOR_NAME = 480  # pixels
SIDE_MARGIN = 0.12  # of the range, on either side
DECIMAL_BELOW = 10  # what is below it has a decimal


def waterfall(why: pd.DataFrame, means: tuple[float, float], run_names: tuple[str, str], of: str) -> Spec:
    """The mean of one quantity from the first run to the second, one bar per factor, the largest first.

    Parameters: `why`, the rows of one quantity of :class:`postcgrp.reports.sensitivity.comparison.Comparison`; `means`
    and `run_names` of both runs; `of`, the quantity's name and unit. Whiskers are 95 % Monte-Carlo intervals.
    """
    factors = leading(why, MOST_FACTORS)
    shown = _rows(factors, means, run_names)
    largest: Any = factors.iloc[0]
    change, direction = means[1] - means[0], "up" if means[1] > means[0] else "down"
    most = "" if largest["kind"] == "rest" else f", most by {largest['factor']} ({largest['moves']:+,.0f})"
    ends = shown[["from", "to", "low", "high"]].to_numpy()
    margin = max(SIDE_MARGIN * float(np.nanmax(ends) - np.nanmin(ends)), 0.5)
    domain = [float(np.nanmin(ends)) - margin, float(np.nanmax(ends)) + 2 * margin]
    x = money("from", f"{of}, mean", scale={"domain": domain, "nice": False, "zero": False})
    y = names("bar", shown["bar"].tolist(), {"labelLimit": FACTOR_NAME})
    colour = colours("kind", ["run", "up", "down", "rest"], [INK, UP, DOWN, REMAINDER])
    change_of = {"filter": {"not": {"field": "kind", "equal": "run"}}}
    run = {"filter": {"field": "kind", "equal": "run"}}
    bar = {"y": y, "x": x, "x2": {"field": "to"}, "color": colour}
    whisker = {"y": y, "x": x | {"field": "low"}, "x2": {"field": "high"}}
    text = {"y": y, "x": x | {"field": "text_at"}, "text": {"field": "text"}}
    return figure(
        f"{of}: {direction} {abs(change):,.0f}{most}",
        "From the first run to the second, one change after the other. Whiskers: 95 % Monte-Carlo intervals.",
        shown,
        1.4 * WIDE,
        layer=[
            {"transform": [run], **mark("rule", {"x": x}, color=INK, strokeDash=[2, 3], strokeWidth=0.8)},
            {"transform": [change_of], **mark("bar", bar, height={"band": 0.62})},
            {"transform": [change_of], **mark("rule", whisker, valid="low", color=INK)},
            {"transform": [run], **mark("point", {"y": y, "x": x}, color=INK, filled=True, size=60, opacity=1)},
            mark("text", text, align="left", dx=7, fontWeight="bold", fontSize=SMALL),
        ],
        width=WIDE - 60,
        height=1.35 * ROW * len(shown),
    )


def save_waterfall(
    why: pd.DataFrame, means: tuple[float, float], run_names: tuple[str, str], of: str, path: Path, recipe: str
) -> list[Path]:
    """Draw :func:`waterfall` as SVG and PNG with the hash of its recipe; returns the paths."""
    return draw(waterfall(why, means, run_names, of), path, recipe)


def _rows(factors: pd.DataFrame, means: tuple[float, float], run_names: tuple[str, str]) -> pd.DataFrame:
    """The figure's data: the first run, every factor from where to where it moves the mean, the second run."""
    rows: list[dict[str, Any]] = []
    level = means[0]
    for factor in factors.to_dict("records"):
        moves, error = factor["moves"], 1.96 * np.nan_to_num(factor["moves_mcse"])
        end = level + moves
        change = _short(factor["change"])
        rows.append(
            {
                "bar": _short(factor["factor"]) + (f": {change}" if change else ""),
                "kind": "rest" if factor["kind"] == "rest" else "up" if moves > 0 else "down",
                "from": level,
                "to": end,
                "low": end - error if error else np.nan,
                "high": end + error if error else np.nan,
                "text": f"{moves:+,.1f}" if abs(moves) < DECIMAL_BELOW else f"{moves:+,.0f}",
                "text_at": max(level, end + error),
            }
        )
        level = end
    first, second = (
        {"bar": name, "kind": "run", "from": mean, "to": mean, "text": f"{mean:,.0f}", "text_at": mean}
        for name, mean in zip(run_names, means, strict=True)
    )
    table = pd.DataFrame([first, *rows, second])
    return table.assign(bar=unlike(table["bar"]))


def _short(text: str) -> str:
    return shorten(text, _NAME_WIDTH, placeholder=" …")
