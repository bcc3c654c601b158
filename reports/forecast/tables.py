"""The tables behind a run's page and files, by file name."""

from __future__ import annotations

import pandas as pd
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast import growth_bridge
from postcgrp.reports.forecast.centre import centre, leverage
from postcgrp.reports.forecast.summary import summary
from postcgrp.reports.forecast.variance_budget import variance_budget


def bench_tables(run: DataTree, pset: PriorSet) -> dict[str, pd.DataFrame]:
    """The tables of why, by file name.

    They are the variance budget (empty with too few draws), the growth bridge and the report's claim on it, what the
    centre is made of and what leads it. A mixture of several prior sets has no log prior, and of these tables only
    the growth's: the others are of one set's unknowns.
    """
    bridged = growth_bridge.bridge(run, pset)
    growth = {
        "growth_bridge": growth_bridge.bridge_table(bridged, pset),
        "growth_claim": growth_bridge.claim(bridged),
    }
    if "log_prior" not in run.children:
        return {"variance_budget": pd.DataFrame(), **growth}
    try:
        budget = variance_budget(run, pset)
    except InputError:
        budget = pd.DataFrame()
    return {
        "variance_budget": budget,
        **growth,
        "centre": centre(run, pset),
        "leverage": leverage(run, pset),
    }


def tables_of(run: DataTree, pset: PriorSet) -> dict[str, pd.DataFrame]:
    """The summary and :func:`bench_tables`, computed from a run's draws."""
    return {"summary": summary(run, pset), **bench_tables(run, pset)}
