"""Deals under scenarios: what each is worth there, and what it is worth to know which scenario will hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.scenarios import BASE, Scenario, load_scenario
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.decision import Decision
from postcgrp.reports.valuation.information_inputs import decision_of
from postcgrp.reports.valuation.tables import weighted_mean
from postcgrp.reports.valuation.valuation import Valuation, price_all

UNDER_COLUMNS = (
    "deal",
    "scenario",
    "rnpv",
    "mc_error",
    "difference",
    "p_loss",
    "npv_low",
    "npv_high",
    "max_bid",
    "note",
)
WORTH_COLUMNS = ("scenario", "weight", "best", "value_of_best", "value_of_choice", "gain")


def deals_under(run: Run, priced: Sequence[Valuation], scenarios: Sequence[Scenario], seed: int) -> pd.DataFrame:
    """Each deal in the run as it is and under each scenario, with the same draws and the same luck of its phases.

    Columns `UNDER_COLUMNS`: means of rNPV and maximum bid, `difference` of the mean rNPV from the base, the probability
    of a loss and the 90 % interval of NPV. A deal that a scenario leaves without a market has a note in their place.
    """
    deals, base = [one.deal for one in priced], {one.deal.name: float(one.rnpv.mean()) for one in priced}
    rows = [_row(BASE, one, base) for one in priced]
    market = WhatIf(run, seed)
    for scenario in scenarios:
        there = market.run_under(scenario)
        rows += [_priced(there, scenario.name, deal, seed, base) for deal in deals]
    order = {deal.name: k for k, deal in enumerate(deals)}
    table = pd.DataFrame(rows, columns=list(UNDER_COLUMNS))
    return table.sort_values("deal", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _priced(run: Run, scenario: str, deal: Deal, seed: int, base: Mapping[str, float]) -> dict[str, object]:
    try:
        return _row(scenario, price_all(run, [deal], seed)[0], base)
    except InputError as error:  # the launch that it captures never comes
        return {"deal": deal.name, "scenario": scenario, "note": str(error)}


def _row(scenario: str, one: Valuation, base: Mapping[str, float]) -> dict[str, object]:
    mean = float(one.rnpv.mean())
    npv = pd.Series(one.npv)
    error = weighted_mean(one.rnpv[:, None], one.rnpv[:, None] * 0 + 1, one.market.sample).mc_error
    return {
        "deal": one.deal.name,
        "scenario": scenario,
        "rnpv": mean,
        "mc_error": error,
        "difference": mean - base[one.deal.name],
        "p_loss": float((npv < 0).mean()),
        "npv_low": float(npv.quantile(0.05)),
        "npv_high": float(npv.quantile(0.95)),
        "max_bid": float(one.max_bid.mean()),
        "note": "",
    }


def scenario_worth(run: Run, deals: Sequence[Path], weights: Mapping[str, float], seed: int) -> pd.DataFrame:
    """What it is worth to know, before deciding on deals, which scenario will hold: see :func:`worth_of_knowing`.

    Parameters: `weights`, a probability of each scenario by name, with which the choice is made without knowing.
    """
    decisions, market = {}, WhatIf(run, seed)
    for name in weights:
        there = run if name == BASE else market.run_under(load_scenario(name))
        decisions[name] = decision_of(there, deals, seed).decision
    return worth_of_knowing(decisions, weights)


def worth_of_knowing(decisions: Mapping[str, Decision], weights: Mapping[str, float]) -> pd.DataFrame:
    """The worth of knowing a scenario, one row for each and the last for all of them.

    Columns `WORTH_COLUMNS`: the best alternative in a scenario and its mean, the mean there of the alternative that is
    best over all scenarios, and what knowing gains. The last row has their weighted means: its gain is the expected
    value of knowing the scenario, and nothing else, before the choice.
    """
    means = pd.DataFrame(
        {name: dict(zip(one.alternatives, one.values.mean(axis=0), strict=True)) for name, one in decisions.items()}
    )
    probability = pd.Series(dict(weights))
    chosen = str((means * probability).sum(axis=1).idxmax())
    table = pd.DataFrame(
        {
            "scenario": list(probability.index),
            "weight": probability.to_numpy(float),
            "best": [str(means[name].idxmax()) for name in probability.index],
            "value_of_best": [float(means[name].max()) for name in probability.index],
            "value_of_choice": [float(means[name][chosen]) for name in probability.index],
        }
    )
    table["gain"] = table["value_of_best"] - table["value_of_choice"]
    figures = ["value_of_best", "value_of_choice", "gain"]
    whole = table[figures].mul(table["weight"], axis=0).sum()
    return pd.concat(
        [table, pd.DataFrame([{"scenario": "all of them", "weight": 1.0, "best": chosen, **whole.to_dict()}])],
        ignore_index=True,
    )[list(WORTH_COLUMNS)]
