"""Who is exposed to which scenario: the same shares of countries and companies, in the base and under each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors.scenarios import BASE
from postcgrp.priors.shares import Shares
from postcgrp.reports.exposure.split import divide_draws
from postcgrp.reports.scenarios.tables import COMPARED_FIGURES, ScenarioDraws, compared

EXPOSED_COLUMNS = ("scenario", "holder", "name", "year", "unit", *COMPARED_FIGURES)


def exposed_table(
    markets: Mapping[str, Dataset], shares: Shares, seed: int, years: Sequence[int], unit: str
) -> pd.DataFrame:
    """Revenue of each country and company under each scenario, and its paired difference from the base.

    Columns `EXPOSED_COLUMNS`: `holder` is country or company, the figures are those of
    :func:`postcgrp.reports.scenarios.tables.scenario_table`. Parameters: `markets`, the base's among them, see
    :func:`postcgrp.reports.scenarios.tables.kept`; `seed`, of the shares: they are the same in every scenario, which
    does not change who holds what.
    """
    held = {name: _held(market, shares, seed, years, unit) for name, market in markets.items()}
    table = pd.concat([compared(name, held[BASE], [(1.0, one)]) for name, one in held.items()], ignore_index=True)
    return table[list(EXPOSED_COLUMNS)]


def _held(market: Dataset, shares: Shares, seed: int, years: Sequence[int], unit: str) -> ScenarioDraws:
    """Revenue by country and by company in these years."""
    cells = {v.REVENUE: market[v.REVENUE].expand_dims("depth")}  # of which only sums are divided
    if v.REVENUE_LINE in market:
        cells[v.REVENUE_LINE] = market[v.REVENUE_LINE].expand_dims("depth")
    divided = divide_draws(Dataset(cells), shares, seed)
    rows, draws = [], []
    for holder, whole in (("country", divided.countries.sum("modality")), ("company", divided.companies.sum("part"))):
        revenue = whole.sel(year=list(years)).transpose(*SAMPLE, holder, "year")
        index = pd.MultiIndex.from_product([revenue[holder].values.tolist(), list(years)], names=["name", "year"])
        rows.append(index.to_frame(index=False).assign(holder=holder, unit=unit))
        draws.append(revenue.values.reshape(-1, len(index)))
    return ScenarioDraws(pd.concat(rows, ignore_index=True), np.concatenate(draws, axis=1))
