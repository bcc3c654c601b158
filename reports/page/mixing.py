"""Weights over scenarios: their draws for the page, and the mixture that it shows before anybody moves a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors.scenarios import BASE
from postcgrp.priors.shipped import MAIN_SCENARIOS
from postcgrp.reports.page.market import Drawn
from postcgrp.reports.page.packing import pack_moves, pack_rows
from postcgrp.reports.scenarios.answer import ScenarioAnswer
from postcgrp.reports.scenarios.tables import MIXED, ScenarioDraws, paired, scenario_table

_OUTER, _BASE = 0.25, 0.5  # one in four for either side, where the three main scenarios are all there


def first_weights(names: Sequence[str]) -> dict[str, float]:
    """The weights that stand before any is moved: a half on the base between two sides, else equal ones."""
    if set(names) == set(MAIN_SCENARIOS):
        return {name: _BASE if name == BASE else _OUTER for name in names}
    if set(MAIN_SCENARIOS) < set(names):
        return {name: {**dict.fromkeys(MAIN_SCENARIOS, _OUTER), BASE: _BASE}.get(name, 0.0) for name in names}
    return dict.fromkeys(names, 1 / len(names))


def mixture_data(answer: ScenarioAnswer, years: Sequence[int], took: Drawn) -> dict[str, Any]:
    """The total of every scenario in the years on every draw of the page, for the scripts, and the first `weights`.

    `base`, rows by year; `moves`, what each other scenario adds in the same draws, rows by scenario and year.
    """
    totals = took.take(answer.draws[v.REVENUE_TOTAL].sel(year=list(years)))
    draws = totals.transpose("scenario", "year", *SAMPLE).values.reshape(totals.sizes["scenario"], len(years), -1)
    names = [str(name) for name in totals["scenario"].values]
    base = draws[names.index(BASE)]
    others = [k for k, name in enumerate(names) if name != BASE]
    moves = paired(draws[others], base)
    return {
        "names": [BASE, *(names[k] for k in others)],
        "years": list(years),
        "weights": first_weights([BASE, *(names[k] for k in others)]),
        "base": pack_rows(base),
        "moves": pack_moves(moves.reshape(-1, base.shape[-1])),
    }


def mixed_rows(answer: ScenarioAnswer, years: Sequence[int], weights: Mapping[str, float]) -> pd.DataFrame:
    """The rows of the mixture, one for each year, see :func:`scenario_table`."""
    totals = answer.draws[v.REVENUE_TOTAL].sel(year=list(years)).transpose("scenario", *SAMPLE, "year")
    rows = pd.DataFrame({"quantity": v.REVENUE_TOTAL, "year": list(years)}).reindex(
        columns=["quantity", "year", "region", "modality", "line", "unit"]
    )
    of = {
        str(name): ScenarioDraws(rows, totals.sel(scenario=name).values.reshape(-1, len(years)))
        for name in totals["scenario"].values
    }
    table = scenario_table(of[BASE], {name: draws for name, draws in of.items() if name != BASE}, weights)
    return table[table["scenario"] == MIXED]
