"""Figures of a run's draws as Vega-Lite specs, each a pure function of its table and of the market's words."""

from __future__ import annotations

from typing import Any

import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL
from postcgrp.reports.forecast.layers import DOT, FAN_NOTE, REPORT_NOTE, fan, halo, report_layers, with_labels
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    MOST_ABREAST,
    PANEL,
    SMALL,
    TALL,
    WIDE,
    Spec,
    figure,
    fractions,
    mark,
    money,
    numbered,
    panel,
    quantity,
    side_by_side,
)
from postcgrp.reports.forecast.words import Words

MOST_CURVES = 5  # of an exceedance figure; more cannot be told apart
SHADES = ("#7fb6dc", "#4d97c9", "#2171b5", "#08519c", "#08306b")  # a later year is darker
BESIDE_PANEL = 110  # pixels that the numbers of the last year take side_by_side a panel
LABEL_LEVEL = 0.08  # the probability at which a curve is labelled
REACHED = 0.005  # the probability of more at which the axis of levels ends


def fan_total(table: pd.DataFrame, words: Words) -> Spec:
    """Total revenue by year: the fan around what the report states; `table` of `figure_tables.total_by_year`."""
    last = table[table["year"] == words.last].iloc[0]
    ends = f"{short(last['low_90'])} and {short(last['high_90'])}"
    y = money("median", f"Revenue, {words.money} a year")
    return figure(
        f"{words.last}: 90 % of the probability lies between {ends} {words.money}",
        f"{FAN_NOTE}; {REPORT_NOTE}.",
        with_labels(table, words),
        WIDE + BESIDE_PANEL,
        layer=[*fan(words, y), *report_layers(words, y)],
        width=WIDE,
        height=TALL,
    )


def fan_modality(table: pd.DataFrame, words: Words) -> Spec:
    """Revenue by year for each modality, each on its own scale; `table` of `figure_tables.revenue_by_modality`."""
    y = money("median", f"{words.money} a year")
    note = f"{FAN_NOTE}; {REPORT_NOTE}."
    return _fans("Revenue by modality, each on its own scale", note, with_labels(table, words), words, y)


def adoption_fans(table: pd.DataFrame, words: Words) -> Spec | None:
    """Adoption by year against the report, None where nothing is; `table` of `figure_tables.adoption_by_year`."""
    if table.empty:
        return None
    note = f"Share of all patients, weighted over regions and depths. {FAN_NOTE}; {REPORT_NOTE}."
    shown, y = with_labels(table, words, as_percent=True), fractions("median", "Share of patients")
    return _fans("Adoption by year, against what the report states", note, shown, words, y)


def spend_per_adopter(table: pd.DataFrame, words: Words) -> Spec:
    """Spend per user by modality; `table` of `figure_tables.spend_by_year`."""
    note = f"{FAN_NOTE}. From the first year with sales on; each on its own scale."
    shown, y = with_labels(table, words), money("median", words.price)
    return _fans("What the revenue implies that each user costs", note, shown, words, y)


def prior_predictive(table: pd.DataFrame, words: Words) -> Spec:
    """Total revenue before and after the evidence, on one scale; `table` of `figure_tables.before_and_after`."""
    y = money("median", f"Revenue, {words.money} a year")
    panels = [
        panel(title, [*fan(words, y, colour), *report_layers(words, y)], only={"draws": draws}, width=PANEL + 60)
        for draws, colour, title in (
            ("prior", NEUTRAL, "Before any evidence: the priors alone"),
            ("posterior", ACCENT, "After the evidence"),
        )
    ]
    return figure(
        "What the priors alone say, and what the evidence adds",
        f"{FAN_NOTE}; {REPORT_NOTE}.",
        with_labels(table, words),
        2 * (PANEL + BESIDE_PANEL),
        **side_by_side(panels),
        resolve={"scale": {"y": "shared"}},
    )


def exceedance_curves(table: pd.DataFrame, words: Words) -> Spec:
    """Probability that total revenue exceeds a level, by year; `table` of `figure_tables.exceedance_table`.

    Of many years some are drawn, the first and the last among them, and the note says which.
    """
    every = [int(year) for year in table["year"].unique()]
    chosen = every if len(every) <= MOST_CURVES else _spread(every, MOST_CURVES)
    left_out = "" if chosen == every else f" Years shown: {', '.join(map(str, chosen))}; exceedance.csv has all."
    shown = _exceedance_texts(table[table["year"].isin(chosen)])
    curves, points = (shown[shown["what"] == what] for what in ("curve", "report"))
    top = float(curves.loc[curves["probability"] >= REACHED, "level"].max())
    x = money("level", f"Revenue, {words.money} a year", scale={"domain": [0, top], "clamp": True})
    y = fractions("probability", "Probability of more", scale={"domain": [0, 1]})
    scale = {"domain": chosen, "range": list(SHADES[-len(chosen) :])}
    colour = {"field": "year", "type": "nominal", "scale": scale, "legend": None}
    line = {"x": x | {"field": "curve"}, "y": y, "color": colour, "order": quantity("level")}
    year = {"x": x, "y": y, "text": {"field": "year_text"}, "color": colour}
    said = {"x": x, "y": y, "text": {"field": "point_text"}}
    look = {"align": "left", "fontWeight": "bold", "fontSize": SMALL + 1}
    return figure(
        f"Probability that the market exceeds a level, by year{_at_last(points, words)}",
        f"Dots: the report's own figures, and the probability of more than that.{left_out}",
        shown,
        layer=[
            mark("line", line, valid="curve", strokeWidth=2.5),
            mark("point", {"x": x | {"field": "point"}, "y": y}, valid="point", size=60, **DOT),
            *halo(mark("text", year, valid="year_text", dx=6, dy=-7, **look)),
            *halo(mark("text", said, valid="point_text", dx=8, dy=-7, color=CONTRAST, **look)),
        ],
        width=WIDE,
        height=TALL,
    )


def _exceedance_texts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with what curves and points are called, and with their levels in columns of their own."""
    curve = table["what"] == "curve"
    named = {(part["probability"] - LABEL_LEVEL).abs().idxmin() for _, part in table[curve].groupby("year")}
    rows = list(zip(table.index, curve, table["level"], table["probability"], table["year"], strict=True))
    texts: dict[str, Any] = {
        "year_text": [str(year) if at in named else None for at, *_, year in rows],
        "point_text": [None if of_curve else f"{short(x)}: {100 * p:.0f} %" for _, of_curve, x, p, _ in rows],
    }
    return table.assign(curve=table["level"].where(curve), point=table["level"].where(~curve), **texts)


def _fans(message: str, note: str, table: pd.DataFrame, words: Words, y: Spec) -> Spec:
    """A fan for each modality, on scales of their own, with what the report states where the table has it."""
    shown, found = numbered(table, "modality")
    layers = [*fan(words, y), *(report_layers(words, y) if "report" in table else [])]
    width, labels = WIDE if len(found) == 1 else PANEL, words.labels["modality"]
    panels = [panel(labels[name], layers, only={"panel": k}, width=width) for k, name in found.items()]
    across = max(WIDE, min(MOST_ABREAST, len(panels)) * (PANEL + BESIDE_PANEL))
    return figure(message, note, shown, across, **side_by_side(panels), resolve={"scale": {"y": "independent"}})


def _at_last(points: pd.DataFrame, words: Words) -> str:
    """What the message adds of the last year: the chance of more than the report says."""
    last = points[points["year"] == words.last]
    if last.empty:
        return ""
    row = last.iloc[0]
    return f": {100 * row['probability']:.0f} % for more than {short(row['level'])} in {words.last}"


def _spread(years: list[int], number: int) -> list[int]:
    """So many of the years, the first and the last among them, spread evenly."""
    return [years[round(k * (len(years) - 1) / (number - 1))] for k in range(number)]
