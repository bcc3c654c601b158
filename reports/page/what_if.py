"""Scenarios beside a run, for its page: what each says, what it would move, each driver alone, and their mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from postcgrp.models import variables as v
from postcgrp.priors.scenarios import BASE, Scenario
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.words import words_of
from postcgrp.reports.page.drivers import MOST_SLIDERS, driver_sliders, sliders
from postcgrp.reports.page.market import drawn
from postcgrp.reports.page.mixing import mixed_rows, mixture_data
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.answer import scenarios
from postcgrp.reports.scenarios.market import WhatIf

FOURTH, MINUS = 3, "\u2212"
SHOWN_COLUMNS = ("Scenario", "Median", "Mean difference", "its 90 % interval", "P(more)")


def what_if(run: Run, under: Sequence[Scenario], seed: int = 1) -> dict[str, Any]:
    """What the page of a run has of scenarios: `said`, for its template, and `data`, for its scripts.

    What of a scenario for any ledger this market does not have is named. Raises :class:`postcgrp.priors.InputError` for
    a scenario that does not fit the run.
    """
    market = WhatIf(run, seed)
    answer = scenarios(run, under, seed=seed, market=market)
    report = run.priors.ledger.report
    later = list(report.anchors[1:])
    every = sliders(market)
    drivers = driver_sliders(market, every[:MOST_SLIDERS])
    without = [f"{slider.label} has no slider here: a scenario may set it" for slider in every[MOST_SLIDERS:]]
    took = drawn(run)
    mixture = mixture_data(answer, later, took)
    mixed = mixed_rows(answer, later, mixture["weights"])
    said = {
        **_tables(run, answer.tables["scenarios"], answer.scenarios),
        "notes": [*(note for note in answer.notes if note.startswith("scenario ")), *without],
        "drivers": [_driver(slider, list(run.priors.ledger.years)) for slider in drivers],
        "mixture": [{"year": row["year"], **told(row)} for _, row in mixed.iterrows()],
        "weights": mixture["weights"],
        "stride": took.stride,
    }
    data = {
        "money": run.money,
        "years": list(run.priors.ledger.years),
        "anchors": later,
        "drivers": drivers,
        "mixture": mixture,
    }
    return {"said": said, "data": data}


def _tables(run: Run, table: pd.DataFrame, under: Sequence[Scenario]) -> dict[str, Any]:
    """The tables of scenarios: what they say (`told`), the total by anchor (`whole`), each modality (`parts`)."""
    words = words_of(run.priors.ledger)
    total = table[table["quantity"] == v.REVENUE_TOTAL]
    last = table[(table["quantity"] == v.REVENUE) & table["modality"].notna() & (table["year"] == words.last)]
    says = [[one.name, one.says, "" if one.quote is None else f"\u201c{one.quote}\u201d"] for one in under]
    return {
        "told": {"title": "In words", "columns": ["Scenario", "What it says", "The report"], "rows": says},
        "whole": [
            _table(f"Total market {year}, {run.money}, beside the base", total[total["year"] == year])
            for year in words.anchors[1:]
        ],
        "parts": [
            _table(f"{label} {words.last}, {run.money}", last[last["modality"] == name])
            for name, label in words.labels["modality"].items()
        ],
    }


def _table(title: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {"title": title, "columns": list(SHOWN_COLUMNS), "rows": [_row(row) for _, row in rows.iterrows()]}


def _row(row: pd.Series) -> list[str]:
    level = short(float(row["median"]))
    if row["scenario"] == BASE:
        return [BASE, level, "", "", ""]
    return [
        str(row["scenario"]),
        level,
        moved_by(row["difference_mean"], row["median"]),
        _interval(row),
        f"{100 * row['p_above']:.0f} %",
    ]


def told(row: Mapping[str, Any] | pd.Series) -> dict[str, str]:
    """The figures of a row of scenarios, by the name of their cell: as `js/what_if.js` writes them."""
    return {
        "median": f"{row['median']:,.0f}",
        "interval": f"{row['low_90']:,.0f} \u2013 {row['high_90']:,.0f}",
        "mean": moved_by(row["difference_mean"], row["median"]),
        "difference": _interval(row),
        "above": f"{100 * row['p_above']:.0f} %",
        "below": f"{100 * row['p_below']:.0f} %",
    }


def _interval(row: Mapping[str, Any] | pd.Series) -> str:
    low, high = (moved_by(row[f"difference_{end}_90"], row["median"]) for end in ("low", "high"))
    return f"{low} to {high}"


def _driver(slider: dict[str, Any], years: list[int]) -> dict[str, Any]:
    """A slider's stops in the last year, for the table behind it."""
    k = years.index(max(years))
    names = {"median": "q50", "low_90": "q05", "high_90": "q95", "difference_mean": "mean"}
    names |= {"difference_low_90": "d05", "difference_high_90": "d95", "p_above": "above", "p_below": "below"}
    rows = [
        {"label": stop["label"], **told({name: stop[of][k] for name, of in names.items()})} for stop in slider["stops"]
    ]
    return {"label": slider["label"], "note": slider["note"], "base": slider["base"], "stops": rows}


def moved_by(difference: float, level: float) -> str:
    """A difference as a reader sees it: to the fourth digit of the level that it is a difference of."""
    digits = max(0, FOURTH - math.floor(math.log10(level))) if level > 0 else FOURTH
    text = f"{abs(difference):,.{digits}f}"
    return f"{'+' if difference > 0 else MINUS}{text}" if any(c in "123456789" for c in text) else text
