"""All figures of a run by name: the table that each shows, and its spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from xarray import DataTree

from postcgrp.priors import PriorSet
from postcgrp.reports.forecast import attribution_figures, composition_figures, figure_tables, figures, prior_figures
from postcgrp.reports.forecast.style import Spec
from postcgrp.reports.forecast.words import Words, words_of


@dataclass(frozen=True)
class Figure:
    """A figure: the table that it shows, in the units of the run, and its Vega-Lite spec."""

    table: pd.DataFrame
    spec: Spec


def run_figures(run: DataTree, pset: PriorSet, bench: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Every figure of a run by name; those that show nothing are left out, such as shares of a single region.

    Parameters: `bench`, its variance budget, growth bridge and growth claim, see
    :func:`postcgrp.reports.forecast.tables.bench_tables`.
    """
    words = words_of(pset.ledger)
    budget, bridge, claim = (bench[name] for name in ("variance_budget", "growth_bridge", "growth_claim"))
    found: dict[str, tuple[pd.DataFrame, Spec | None]] = {}
    for name, (table_of, spec_of) in DRAWN_FROM_DRAWS.items():
        table = table_of(run, pset)
        found[name] = (table, spec_of(table, words))
    found["variance_budget"] = (budget, attribution_figures.budget_bars(budget, bridge, words))
    found["growth_bridge"] = (bridge, attribution_figures.bridge_waterfall(bridge, claim, words))
    ranged = figure_tables.ranged_priors(pset)
    found["priors"] = (ranged, prior_figures.prior_ranges(ranged))
    return {name: Figure(table, spec) for name, (table, spec) in found.items() if spec is not None}


TableOf = Callable[[DataTree, PriorSet], pd.DataFrame]
SpecOf = Callable[[pd.DataFrame, Words], Spec | None]
DRAWN_FROM_DRAWS: dict[str, tuple[TableOf, SpecOf]] = {
    "fan_total": (figure_tables.total_by_year, figures.fan_total),
    "fan_modality": (figure_tables.revenue_by_modality, figures.fan_modality),
    "exceedance": (figure_tables.exceedance_table, figures.exceedance_curves),
    **{
        f"composition_{dim}": (
            partial(figure_tables.shares_of_revenue, dim=dim),
            partial(composition_figures.composition, dim=dim),
        )
        for dim in ("region", "depth")
    },
    "adoption": (figure_tables.adoption_by_year, figures.adoption_fans),
    "spend_per_adopter": (figure_tables.spend_by_year, figures.spend_per_adopter),
    "prior_predictive": (figure_tables.before_and_after, figures.prior_predictive),
    "prior_posterior": (
        figure_tables.priors_and_posteriors,
        lambda table, words: prior_figures.prior_posterior(table),
    ),
}
