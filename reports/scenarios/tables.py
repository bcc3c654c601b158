"""Tables of scenarios: each beside the base in the same draws, so that their differences are paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MONEY_UNIT
from postcgrp.priors.scenarios import BASE
from postcgrp.reports.forecast.summary import INTERVAL_ENDS

Array = NDArray[np.float64]
SEGMENTED_BY = ("region", "modality", "line")
MIXED = "mixture"  # what the weights make of the scenarios
ROUNDED_OFF = 1e-9  # relative: what rounding moves
COMPARED_FIGURES = (
    "mean",
    "median",
    *INTERVAL_ENDS,
    "base_median",
    "difference_mean",
    "difference_median",
    *(f"difference_{end}" for end in INTERVAL_ENDS),
    "p_above",
    "p_below",
)
SCENARIO_COLUMNS = (
    "scenario",
    "quantity",
    "year",
    *SEGMENTED_BY,
    "unit",
    *COMPARED_FIGURES,
)


@dataclass(frozen=True)
class ScenarioDraws:
    """What is compared of a market: `rows`, what each column of `draws` [draw, row] is."""

    rows: pd.DataFrame
    draws: Array


def kept(market: Dataset, pset: PriorSet) -> Dataset:
    """What is kept of a market [chain, draw, year, ...], under the names that it has there, summed over segments.

    Revenue by region and modality, by region and line, and in all; patients by region; the means of adoption.
    """
    found = {v.REVENUE: _by(market[v.REVENUE], "region", "modality"), v.PATIENTS: _by(market[v.PATIENTS], "region")}
    if v.REVENUE_LINE in market:
        found[v.REVENUE_LINE] = _by(market[v.REVENUE_LINE], "region", "line")
    as_they_are = (v.REVENUE_TOTAL, *(pset.own(v.ADOPTION_MEAN, m) for m in pset.modalities("adoption")))
    return Dataset(found | {name: market[name] for name in as_they_are})


def scenario_draws(market: Dataset, pset: PriorSet) -> ScenarioDraws:
    """Revenue in all, by modality, region and line, patients in all and by region, and adoption, all by year.

    Parameters: `market`, see :func:`kept`.
    """
    money = MONEY_UNIT.format(currency=pset.ledger.report.currency)
    revenue, patients = market[v.REVENUE], market[v.PATIENTS]
    parts = [(v.REVENUE_TOTAL, money, market[v.REVENUE_TOTAL])]
    parts += [(v.REVENUE, money, _by(revenue, dim)) for dim in ("modality", "region")]
    if v.REVENUE_LINE in market:
        parts.append((v.REVENUE_LINE, money, _by(market[v.REVENUE_LINE], "line")))
    parts += [(v.PATIENTS, "patients", _by(patients, *dims)) for dims in ((), ("region",))]
    for modality in pset.modalities("adoption"):
        mean = market[pset.own(v.ADOPTION_MEAN, modality)].expand_dims(modality=[modality.name])
        parts.append((v.ADOPTION_MEAN, "fraction", mean))
    rows, draws = [], []
    for quantity, unit, array in parts:
        dims = [dim for dim in array.dims if dim not in SAMPLE]
        index = pd.MultiIndex.from_product([array[dim].values.tolist() for dim in dims], names=[str(d) for d in dims])
        rows.append(index.to_frame(index=False).assign(quantity=quantity, unit=unit))
        draws.append(array.transpose(*SAMPLE, *dims).values.reshape(-1, len(index)))
    columns = ["quantity", "year", *SEGMENTED_BY, "unit"]
    return ScenarioDraws(pd.concat(rows, ignore_index=True).reindex(columns=columns), np.concatenate(draws, axis=1))


def _by(cells: DataArray, *dims: str) -> DataArray:
    """Cells summed over every segment but these [chain, draw, year, *dims]."""
    return cells.sum([dim for dim in cells.dims if dim not in (*SAMPLE, "year", *dims)], skipna=False)


def scenario_table(
    base: ScenarioDraws, others: Mapping[str, ScenarioDraws], weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Each scenario and its paired difference from the base, one row for each quantity, year and segment.

    Columns `SCENARIO_COLUMNS`; the base's own rows come first. `p_above` and `p_below` are the probabilities of more
    and of less than in the base in the same draw: they do not sum to one where a scenario leaves some draws as they
    are. Parameters: `weights`, a probability of each scenario by name, adds the mixture, in which each draw of the
    market meets each scenario with that probability.
    """
    every = {BASE: base, **others}
    parts = [compared(name, base, [(1.0, one)]) for name, one in every.items()]
    if weights is not None:
        drawn = [(weight, every[name]) for name, weight in weights.items() if weight > 0]
        parts.append(compared(MIXED, base, drawn))
    return pd.concat(parts, ignore_index=True)[list(SCENARIO_COLUMNS)]


def compared(name: str, base: ScenarioDraws, drawn: Sequence[tuple[float, ScenarioDraws]]) -> pd.DataFrame:
    """The rows of one scenario, or of a mixture of weighted ones."""
    weights = np.concatenate([np.full(len(one.draws), weight / len(one.draws)) for weight, one in drawn])
    levels = [one.draws for _, one in drawn]
    moves = [paired(draws, base.draws) for draws in levels]

    def mean(each: Sequence[NDArray[Any]]) -> Array:
        return np.asarray(sum(weight * draws.mean(axis=0) for (weight, _), draws in zip(drawn, each, strict=True)))

    found: dict[str, Array | str] = {"scenario": name, "base_median": np.median(base.draws, axis=0)}
    for prefix, each in (("", levels), ("difference_", moves)):
        found[f"{prefix}mean"] = mean(each)
        quantiles = quantiles_of(np.concatenate(each), [0.5, *INTERVAL_ENDS.values()], weights)
        found |= {f"{prefix}{key}": row for key, row in zip(("median", *INTERVAL_ENDS), quantiles, strict=True)}
    found |= {"p_above": mean([x > 0 for x in moves]), "p_below": mean([x < 0 for x in moves])}
    return base.rows.assign(**found)


def paired(draws: Array, base: Array) -> Array:
    """Paired differences of draws, 0 where they are no more than rounding."""
    difference = draws - base
    return np.where(np.abs(difference) <= ROUNDED_OFF * np.abs(base), 0.0, difference)


def quantiles_of(draws: Array, levels: Sequence[float], weights: Array) -> Array:
    """Quantiles [level, column] of weighted draws [draw, column]; of equal weights as NumPy has them."""
    if np.ptp(weights) == 0:
        return np.asarray(np.quantile(draws, levels, axis=0))
    order = np.argsort(draws, axis=0)
    below = np.cumsum(weights[order], axis=0)
    ranks = [(below < level * below[-1] * (1 - 1e-12)).sum(axis=0).clip(max=len(draws) - 1) for level in levels]
    return np.stack([draws[np.take_along_axis(order, rank[None], 0)[0], np.arange(draws.shape[1])] for rank in ranks])


def anchors_of(table: pd.DataFrame, years: Sequence[int]) -> pd.DataFrame:
    """The rows to read first: total revenue in these years, by scenario, the base's levels and all differences."""
    rows = table[(table["quantity"] == v.REVENUE_TOTAL) & table["year"].isin(years)]
    columns = ["scenario", "year", "median", "low_90", "high_90", "difference_median"]
    columns += ["difference_low_90", "difference_high_90", "p_above"]
    return rows.sort_values("year", kind="stable")[columns].reset_index(drop=True)


def scenarios_said(table: pd.DataFrame, money: str) -> str:
    """The answer in one sentence: the last year's median in the base, and what each scenario adds to it."""
    year = table["year"].max()
    last = table[(table["quantity"] == v.REVENUE_TOTAL) & (table["year"] == year)].set_index("scenario")
    told = [
        f"{name} {row['difference_median']:+,.0f} ({row['difference_low_90']:+,.0f} to "
        f"{row['difference_high_90']:+,.0f})"
        for name, row in last.iterrows()
        if name != BASE
    ]
    beside = f"; beside it, in the same draws (90 % interval): {', '.join(told)}" if told else ""
    return f"Total revenue of {year}, {money}: median {last.loc[BASE, 'median']:,.0f} in the base{beside}."
