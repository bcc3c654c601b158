"""Why this centre: where a forecast lies between bottom-up and the report, and which assumptions carry it.

Both come from the run's own draws. The report's weight is how far its evidence has moved the median from bottom-up
towards the report's figure, on the log scale. What one assumption carries is the derivative of the posterior mean of
log revenue by the median of its prior, in prior sds: the posterior covariance of log revenue with the prior's score
(Gustafson 1996, Annals of Statistics 24, 174): for a standardised variable the variable itself or, where others are
correlated with it, what the inverse of their correlation makes of all, as the others' medians stay.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE, mcse_mean
from postcgrp.models import variables as v
from postcgrp.models.correlated import pulls_of
from postcgrp.models.standard import standard_of
from postcgrp.priors import Prior, PriorSet
from postcgrp.priors.elicit import LINK
from postcgrp.reports.forecast.summary import report_point
from postcgrp.reports.runs.groups import group

Array = NDArray[np.float64]
UNSOURCED = "assumption"  # what a row of the assumptions cites if it has no source
_CLOSE = 0.02  # log: where bottom-up and the report agree, no weight between them has a meaning


def centre(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """The medians of bottom-up and of the posterior, and the report's figure: the total and modalities at the anchors.

    Returns `year`, `modality` (empty for the total), `bottom_up`, `median` and `report` in `unit`; `report_weight`, see
    above, NaN where the report states no figure or agrees with bottom-up; `skew`, for the total, what its bottom-up
    median is above the sum of its modalities' medians; `outside`, where the median lies outside bottom-up and the
    report, the row of evidence that pulls it there most: whose likelihood, counted more, would move it on.
    """
    prior, posterior, ledger = group(run, "prior"), group(run), pset.ledger
    likelihood = run["log_likelihood"].to_dataset().get(v.EVIDENCE)
    rows = []
    for year in ledger.report.anchors:
        by_modality = 0.0
        for modality in (*ledger.segments["modality"], None):
            draws = _revenue(posterior, year, modality)
            before, after = float(_revenue(prior, year, modality).median()), float(draws.median())
            stated = report_point(ledger, year, modality=modality)
            weight, outside = np.nan, ""
            if min(before, after, stated) > 0 and abs(gap := np.log(stated / before)) > _CLOSE:
                weight = np.log(after / before) / gap
                if likelihood is not None and not 0 <= weight <= 1:
                    outside = _strongest(draws, likelihood, upwards=after > max(before, stated))
            skew = before - by_modality if modality is None else np.nan
            by_modality += before
            figures = {"bottom_up": before, "median": after, "report": stated, "report_weight": weight, "skew": skew}
            rows.append({"year": year, "modality": modality, **figures, "outside": outside})
    return pd.DataFrame(rows).assign(unit=f"{ledger.report.currency} million")


def _revenue(draws: Dataset, year: int, modality: str | None) -> DataArray:
    if modality is None:
        return draws[v.REVENUE_TOTAL].sel(year=year)
    return draws[v.REVENUE].sel(year=year, modality=modality).sum(("region", "depth"))


def _strongest(draws: DataArray, likelihood: DataArray, *, upwards: bool) -> str:
    """The row of evidence whose log likelihood moves the mean of log draws furthest in one direction.

    Draws without any revenue, of a launch that failed, have no log and are left out.
    """
    values = draws.transpose(*SAMPLE).values
    sold = values > 0
    log = np.log(values[sold])
    by_row = likelihood.transpose(v.EVIDENCE_ROW, *SAMPLE).values[:, sold]
    pull = np.array([((log - log.mean()) * (row - row.mean())).mean() for row in by_row])
    return str(likelihood[v.EVIDENCE_ROW].values[np.argmax(pull if upwards else -pull)])


def sentence(centres: pd.DataFrame, levers: pd.DataFrame, money: str) -> str:
    """Why the last year's total lies where it lies, in one sentence."""
    last = centres[centres["modality"].isna()].iloc[-1]
    lead = levers.iloc[0]
    where = f"{last['year']}: the median of {last['median']:,.0f} {money}"
    if np.isfinite(last["report_weight"]):
        way = f"{last['report_weight']:.0%} of the way from bottom-up ({last['bottom_up']:,.0f}) to the report"
        where += f" lies {way} ({last['report']:,.0f})"
    source = "" if lead["sourced"] else ", which has no source"
    return f"{where}; the assumption that moves it most is {lead['prior']}{source}: {lead['change']:+.1%} per prior sd"


def leverage(run: DataTree, pset: PriorSet, year: int | None = None) -> pd.DataFrame:
    """What each assumption carries of a year's total: how far its centre moves if the assumption's median does.

    One row per number that is elicited, the largest first: `block` and `prior` name it, `change` is the relative change
    of the posterior mean of log revenue per prior sd, `mcse` its Monte-Carlo error, `source` what the row cites, and
    `sourced` whether that is more than an assumption. A report's claim on an input counts as its source. Cells that one
    standard draw moves together are one row. Parameters: `year`, by default the last.
    """
    posterior = group(run)
    year = pset.ledger.years[-1] if year is None else year
    log = np.log(posterior[v.REVENUE_TOTAL].sel(year=year).transpose(*SAMPLE).values)
    centred = log - log.mean()
    rows = []
    for block, priors, score in _scores(posterior, pset):
        product = centred * (score - score.mean())
        cited = list(dict.fromkeys(prior.origin for prior in priors))
        rows.append(
            {
                "block": block,
                "prior": priors[0].name if len(priors) == 1 else f"{priors[0].name} and {len(priors) - 1} more",
                "change": float(product.mean()),
                "mcse": mcse_mean(product),
                "source": "; ".join(cited),
                "sourced": any(not origin.startswith(UNSOURCED) for origin in cited),
            }
        )
    table = pd.DataFrame(rows)
    return table.loc[table["change"].abs().sort_values(ascending=False).index].reset_index(drop=True)


def _scores(posterior: Dataset, pset: PriorSet) -> Iterator[tuple[str, list[Prior], Array]]:
    """For every elicited number its block, the priors that it stands for, and its score in prior sds [chain, draw]."""
    for name, block in pset.blocks.items():
        if not block.priors:
            continue
        if (standard := standard_of(pset, name)) is not None and v.standard(name) in posterior:
            pulls = pulls_of(pset, name, lambda variable: posterior[variable].transpose(*SAMPLE, ...).values)
            for index in np.ndindex(pulls.shape[2:]):
                priors = [block.priors[k] for k in standard.cells[index]]
                if any(prior.sd > 0 for prior in priors):
                    yield name, priors, pulls[..., *index]
        elif name in posterior and all(prior.sd > 0 for prior in block.priors):
            values = posterior[name].transpose(*SAMPLE, ...).values
            for k, prior in enumerate(block.priors):
                forward, _ = LINK[prior.family]
                yield name, [prior], (forward(values.reshape(*values.shape[:2], -1)[..., k]) - prior.mu) / prior.sd
