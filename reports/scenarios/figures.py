"""The figure of scenarios: what each adds to the last year's revenue, as a Vega-Lite spec made from their table."""

from __future__ import annotations

import pandas as pd

from postcgrp.models import variables as v
from postcgrp.priors.scenarios import BASE
from postcgrp.reports.forecast.colours import ACCENT, NEUTRAL
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    PANEL,
    ROW,
    Spec,
    figure,
    mark,
    names,
    numbered,
    once,
    panel,
    quantity,
    side_by_side,
)
from postcgrp.reports.forecast.words import Words

WHOLE_MARKET = "whole market"


def figure_table(table: pd.DataFrame, words: Words) -> pd.DataFrame:
    """The rows that the figure shows: differences of the last year's revenue, in all and by modality.

    Parameters: `table`, of :func:`postcgrp.reports.scenarios.tables.scenario_table`.
    """
    last = table[(table["year"] == words.last) & (table["scenario"] != BASE)]
    whole = last[last["quantity"] == v.REVENUE_TOTAL].assign(part=WHOLE_MARKET)
    parts = last[(last["quantity"] == v.REVENUE) & last["modality"].notna()]
    parts = parts.assign(part=parts["modality"].map(dict(words.labels["modality"])))
    ends = [f"difference_{end}_{width}" for width in (50, 90) for end in ("low", "high")]
    return pd.concat([whole, parts], ignore_index=True)[["scenario", "part", "difference_median", *ends, "p_above"]]


def scenario_differences(table: pd.DataFrame, words: Words) -> Spec | None:
    """Paired differences of the last year by scenario, one panel for the market and each modality; None for no other.

    Parameters: `table`, of :func:`postcgrp.reports.scenarios.tables.scenario_table`.
    """
    shown, found = numbered(figure_table(table, words), "part")
    if shown.empty:
        return None
    order = list(dict.fromkeys(shown["scenario"]))
    x = quantity(
        "difference_low_90", f"Difference {words.last}, {words.money}", axis={"format": "+,~r", "tickCount": 5}
    )
    rows = names("scenario", order)
    thin, thick = (
        mark(
            "bar",
            {"x": x | {"field": f"difference_low_{width}"}, "x2": {"field": f"difference_high_{width}"}, "y": rows},
            color=ACCENT,
            height=height,
        )
        for width, height in ((90, 3), (50, 9))
    )
    middle = mark("point", {"x": x | {"field": "difference_median"}, "y": rows}, filled=True, color="white", size=30)
    zero = once(mark("rule", {"x": {"datum": 0}}, color=NEUTRAL))
    size, layers = {"height": ROW * len(order)}, [zero, thin, thick, middle]
    panels = [panel(name, layers, only={"panel": k}, **size) for k, name in found.items()]
    return figure(
        _message(shown, words),
        "Each scenario less the base in the same draws: median, 50 % and 90 % interval. Each panel on its own scale.",
        shown,
        2.6 * PANEL,
        **side_by_side(panels, columns=2),
        resolve={"scale": {"x": "independent", "y": "shared"}},
    )


def _message(shown: pd.DataFrame, words: Words) -> str:
    """What the figure says: the scenario that moves the last year most."""
    whole = shown[shown["part"] == WHOLE_MARKET]
    most = whole.iloc[int(whole["difference_median"].abs().argmax())]
    by = f"{'+' if most['difference_median'] > 0 else '-'}{short(abs(float(most['difference_median'])))}"
    return f"What would move {words.last} most: {most['scenario']} ({by} {words.money})"
