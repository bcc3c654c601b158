"""The figure of a valuation: the distribution of value by how the deal ends, the money over time, and what moves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, NEUTRAL, QUIET, SEGMENT_COLOURS
from postcgrp.reports.forecast.drawing import draw
from postcgrp.reports.forecast.layers import halo
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    PANEL,
    ROW,
    SMALL,
    Spec,
    colours,
    figure,
    fractions,
    mark,
    money,
    names,
    once,
    panel,
    quantity,
    side_by_side,
)
from postcgrp.reports.forecast.words import unlike
from postcgrp.reports.valuation.tables import EVERY
from postcgrp.reports.valuation.valuation import Valuation

_MOST_BARS = 12
_HISTOGRAM_BINS = 60
QUANTILES_SHOWN = (0.002, 0.998)  # quantiles between which draws are shown
DEAL, MARKET = ACCENT, SEGMENT_COLOURS[1]
LOSS, GAIN = CONTRAST, SEGMENT_COLOURS[2]
FAILURES = (SEGMENT_COLOURS[3], SEGMENT_COLOURS[6], SEGMENT_COLOURS[5], NEUTRAL)  # one for each phase that may fail
INPUT_TABLES = ("captured.", "economics.", "risk.phase.", "discounting.")
MARKS = {"5 %": "NPV, 5 % quantile", "median": "NPV, 50 % quantile", "95 %": "NPV, 95 % quantile"}
ABOVE = {"5 %": -24, "median": -8, "95 %": -24}  # pixels, so that labels of close quantiles do not overlap
WIDTHS = (1.5 * PANEL, 1.3 * PANEL)  # pixels, of the two upper panels


def value_flows_and_tornado(valuation: Valuation, table: pd.DataFrame, tornado: pd.DataFrame) -> Spec:
    """Value, flows and tornado of one deal, from its tables of figures and of swings."""
    figures = table[table["given"] == EVERY].set_index("quantity")["value"]
    mean, loss = figures["rNPV, mean"], figures["P(NPV < 0)"]
    parts = {
        "value": value_histogram(valuation),
        "marks": pd.DataFrame(
            [{"x": figures[of], "text": [name, f"{figures[of]:,.1f}"], "what": name} for name, of in MARKS.items()]
        ),
        "flows": yearly_flows(valuation),
        "tornado": _swings(tornado.head(_MOST_BARS), float(mean)),
    }
    shown = pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True)
    apart = {"resolve": {"scale": {"color": "independent"}}}
    top = side_by_side([_distribution(parts["value"], valuation), _flows(valuation)]) | apart
    return figure(
        f"{valuation.deal.name}: worth {short(mean)} {valuation.currency} million on average; it loses money with a "
        f"probability of {100 * loss:.0f} %",
        "",
        shown,
        sum(WIDTHS) + PANEL,
        vconcat=[top, _tornado(parts["tornado"], valuation, float(mean))],
        **apart,
    )


def save_valuation(
    valuation: Valuation, table: pd.DataFrame, tornado: pd.DataFrame, path: Path, recipe: str
) -> list[Path]:
    """Draw :func:`value_flows_and_tornado` as SVG and PNG with the run's recipe hash; returns the paths."""
    return draw(value_flows_and_tornado(valuation, table, tornado), path, recipe)


def value_histogram(valuation: Valuation) -> pd.DataFrame:
    """The probability of each bin of NPV, `from` to `to` in millions, by `ending`, stacked from `low` to `high`."""
    ends = valuation.ends
    low, high = np.quantile(ends.npv, QUANTILES_SHOWN)
    margin = 0.02 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, _HISTOGRAM_BINS)
    rows, base = [], np.zeros(len(edges) - 1)
    shares = ends.probability / len(ends.npv)
    for name, values, weights in zip(_endings(valuation), ends.npv.T, shares.T, strict=True):
        heights, _ = np.histogram(values, edges, weights=weights)
        rows.append(
            pd.DataFrame({"from": edges[:-1], "to": edges[1:], "ending": name, "low": base, "high": base + heights})
        )
        base = base + heights
    table = pd.concat(rows, ignore_index=True)
    return table[table["high"] > table["low"]]


def yearly_flows(valuation: Valuation) -> pd.DataFrame:
    """Expected cash after tax by year, and the cumulative sum's median and 90 % interval over draws, in millions."""
    expected = (valuation.ends.probability[:, :, None] * valuation.ends.flows).sum(axis=1)
    expected[:, 0] -= valuation.ends.upfront
    q05, q50, q95 = np.quantile(np.cumsum(expected, axis=1), (0.05, 0.5, 0.95), axis=0)
    mean = expected.mean(axis=0)
    kind = np.where(mean < 0, "out", "in")
    return pd.DataFrame(
        {"year": valuation.years, "flow": mean, "what": kind, "low_90": q05, "median": q50, "high_90": q95}
    )


def _endings(valuation: Valuation) -> list[str]:
    """The ways in which the deal may end, each with its probability."""
    chances = valuation.ends.probability.mean(axis=0)
    return unlike(f"{name}: {100 * p:.0f} %" for name, p in zip(valuation.outcomes, chances, strict=True))


def _distribution(bars: pd.DataFrame, valuation: Valuation) -> Spec:
    endings = _endings(valuation)
    failing = [FAILURES[min(k, len(FAILURES) - 1)] for k in range(len(endings) - 1)]
    legend = {"title": None, "orient": "bottom", "columns": 2} if len(endings) > 1 else None
    x = money("from", f"NPV, {valuation.currency} million", scale={"zero": False, "nice": False})
    y = fractions(
        "low", "Probability of each bar", scale={"domain": [0, 1.25 * float(bars["high"].max())], "nice": False}
    )
    bar = {"x": x | {"bin": "binned"}, "x2": {"field": "to"}, "y": y, "y2": {"field": "high"}}
    marks = {"filter": {"field": "part", "equal": "marks"}}
    value = {"filter": {"field": "part", "equal": "value"}}
    at = {"x": x | {"field": "x"}}
    labels = [
        {"transform": [{"filter": {"field": "what", "equal": name}}], **layer}
        for name, dy in ABOVE.items()
        for layer in halo(
            mark(
                "text", {**at, "y": {"value": 0}, "text": {"field": "text"}}, dy=dy + 30, color=LOSS, fontWeight="bold"
            )
        )
    ]
    ending = ", and how the deal ends" if valuation.deal.phases else ""
    return {
        "title": {"text": f"Net present value{ending}"},
        "width": WIDTHS[0],
        "height": PANEL,
        "layer": [
            {
                "transform": [value],
                **mark("bar", {**bar, "color": colours("ending", endings, [*failing, DEAL], legend)}, binSpacing=0),
            },
            {"transform": [marks], **mark("rule", at, color=LOSS, strokeDash=[5, 3])},
            once(mark("rule", {"x": {"datum": 0, "type": "quantitative"}}, color=INK)),
            *[{**label, "transform": [marks, *label["transform"]]} for label in labels],
        ],
    }


def _flows(valuation: Valuation) -> Spec:
    years = list(valuation.years)
    step = max(1, len(years) // 6)
    axis = {"format": "d", "values": years[::step], "grid": False, "title": None}
    x = quantity("year", None, axis=axis, scale={"domain": [years[0] - 0.6, years[-1] + 0.6], "nice": False})
    y = money("flow", f"{valuation.currency} million")
    band = {"x": x, "y": y | {"field": "low_90"}, "y2": {"field": "high_90"}}
    bar = {"x": x, "y": y, "color": colours("what", ["in", "out"], [GAIN, LOSS])}
    layers = [
        mark("bar", bar, size=max(3, 0.7 * WIDTHS[1] / (len(years) + 0.2))),
        mark("area", band, color=DEAL, opacity=0.2),
        mark("line", {"x": x, "y": y | {"field": "median"}}, color=DEAL, strokeWidth=2.5),
        once(mark("rule", {"y": {"datum": 0, "type": "quantitative"}}, color=INK)),
    ]
    text = "Expected cash after tax, undiscounted"
    note = "Bars: a year's; line and band: the sum so far, median and 90 % of draws"
    drawn = panel(text, layers, only={"part": "flows"}, width=WIDTHS[1], height=PANEL)
    return drawn | {"title": {"text": text, "subtitle": note, "subtitleFontSize": SMALL}}


def _swings(rows: pd.DataFrame, centre: float) -> pd.DataFrame:
    """Two rows of the figure's data for each input, one for either end of it."""
    called = unlike(_label(row) for _, row in rows.iterrows())
    ends = [
        pd.DataFrame(
            {
                "bar": called,
                "owner": rows["of"].to_numpy(),
                "end": end,
                "from": centre,
                "to": rows[f"rnpv_{end}"].to_numpy(),
            }
        )
        for end in ("low", "high")
    ]
    return pd.concat(ends, ignore_index=True)


def _tornado(rows: pd.DataFrame, valuation: Valuation, centre: float) -> Spec:
    order = list(dict.fromkeys(rows["bar"]))
    x = money("from", f"rNPV, {valuation.currency} million", scale={"zero": False})
    y = names("bar", order, {"labelLimit": 340})
    owners = {"deal": DEAL, "market": MARKET}
    bar = {
        "y": y,
        "x": x,
        "x2": {"field": "to"},
        "color": colours("owner", list(owners), list(owners.values())),
        "opacity": {
            "field": "end",
            "type": "nominal",
            "scale": {"domain": ["low", "high"], "range": [0.5, 1]},
            "legend": None,
        },
    }
    middle = {"x": {"datum": centre, "type": "quantitative"}}
    drawn = panel(
        "",
        [mark("bar", bar, height={"band": 0.7}), once(mark("rule", middle, color=INK))],
        only={"part": "tornado"},
        width=sum(WIDTHS) - PANEL / 2,
        height=ROW * len(order),
    )
    note = "Blue: the deal's own; orange: the market's (revenue = patients x use x price)"
    text = "What moves the mean: rNPV at a low (pale) and a high (full) value of each input, 5 % and 95 %"
    return drawn | {"title": {"text": text, "subtitle": note, "subtitleFontSize": SMALL, "subtitleColor": QUIET}}


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
