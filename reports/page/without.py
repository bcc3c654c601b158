"""What the forecast would be without one row of evidence, told from the stored draws by importance weights."""

from __future__ import annotations

from dataclasses import dataclass

from postcgrp.inference.estimates import quantile
from postcgrp.inference.psis import reweight
from postcgrp.reports.runs.run import Run

_LIKELIHOOD = "log_likelihood"


@dataclass(frozen=True)
class Without:
    """The median of the last year's total without a row of evidence, or in `refused` why the weights cannot tell."""

    median: float
    refused: str


def without_rows(run: Run) -> dict[str, Without]:
    """What each row of evidence does to the last year's median, by its id.

    The weights are one over the row's likelihood, Pareto-smoothed (Vehtari, Gelman & Gabry 2017, Stat Comput 27,
    1413). Empty for a run that kept no likelihoods.
    """
    if not run.has(_LIKELIHOOD):
        return {}
    total = run.read(["revenue_total"])["revenue_total"].sel(year=run.priors.ledger.report.last_year)
    found = {}
    for likelihood in run.read(run.names(_LIKELIHOOD), _LIKELIHOOD).data_vars.values():
        row_dim = str(likelihood.dims[-1])
        for row in likelihood[row_dim].values:
            weights = reweight(-likelihood.sel({row_dim: row}).transpose("chain", "draw").values)
            values = total.transpose("chain", "draw").values
            median = float("nan") if weights.refused else float(quantile(values, weights.values, 0.5))
            found[str(row)] = Without(median, weights.refused)
    return found
