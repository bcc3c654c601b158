"""Scenarios beside a run, as the tables of its page: what each says and sets, and what it would move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from postcgrp.models import variables as v
from postcgrp.priors.scenarios import BASE, Scenario
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.words import words_of
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.answer import scenarios


def what_if(run: Run, under: Sequence[Scenario], seed: int = 1) -> dict[str, Any]:
    """The tables that the page shows of scenarios: titles, columns and rows of text.

    Raises :class:`postcgrp.priors.InputError` for a scenario that does not fit the run.
    """
    answer = scenarios(run, under, seed=seed)
    table, words = answer.tables["scenarios"], words_of(run.priors.ledger)
    anchors = run.priors.ledger.report.anchors
    whole = table[table["quantity"] == v.REVENUE_TOTAL]
    told = [[one.name, one.says, "" if one.quote is None else f"\u201c{one.quote}\u201d"] for one in under]
    parts = table[(table["quantity"] == v.REVENUE) & table["modality"].notna() & (table["year"] == words.last)]
    labels = words.labels["modality"]
    return {
        "tables": [
            _table("The scenarios, and the report\u2019s words", ["Scenario", "What it says", "The report"], told),
            *(
                _table(
                    f"Total revenue {year}, {run.money}: each scenario less the base, in the same draws",
                    ["Scenario", "Median", "Difference", "90 % interval", "Chance of more"],
                    [_row(row) for _, row in whole[whole["year"] == year].iterrows()],
                )
                for year in anchors[1:]
            ),
            *(
                _table(
                    f"{labels[name]} {words.last}, {run.money}",
                    ["Scenario", "Median", "Difference", "90 % interval", "Chance of more"],
                    [_row(row) for _, row in parts[parts["modality"] == name].iterrows()],
                )
                for name in labels
            ),
        ]
    }


def _table(title: str, columns: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows}


def _row(row: pd.Series) -> list[str]:
    level = short(float(row["median"]))
    if row["scenario"] == BASE:
        return [BASE, level, "", "", ""]
    ends = f"{_signed(row['difference_low_90'])} to {_signed(row['difference_high_90'])}"
    return [str(row["scenario"]), level, _signed(row["difference_median"]), ends, f"{100 * row['p_above']:.0f} %"]


def _signed(number: float) -> str:
    sign = "+" if number > 0 else "\u2212" if number < 0 else ""
    return f"{sign}{short(abs(float(number)))}"
