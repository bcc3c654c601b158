"""Assumptions one at a time: each elicited number moved, and what revenue answers.

An assumption is moved by shifting the centre of its prior, in sds of that prior on its link scale, its width as it is;
all else is then fitted again. So an effect is that of *assuming* something else. It differs from what *learning* the
number would do (the conditional mean of revenue given the number, also in the table): once the report's revenue is
seen the unknowns depend on each other, and a high price goes with few patients and an optimistic report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import t as student
from xarray import DataTree

from postcgrp.inference.diagnostics import ess_mean, mcse_mean
from postcgrp.models import variables as v
from postcgrp.priors import InputError, Prior, PriorSet
from postcgrp.priors.elicit import LINK, STUDENT_DF, is_heavy
from postcgrp.reports.runs.groups import SAMPLE, group
from postcgrp.reports.sensitivity.refits import Refit

Array = NDArray[np.float64]

TAIL = 0.1  # ends of the tornado are the 10 % and 90 % quantiles of the prior as it is
END = float(ndtri(1 - TAIL))  # the same in prior sds
CLEAR = 3.0  # standard errors from zero at which a shift is called one: dozens are judged at once


@dataclass(frozen=True)
class Input:
    """One elicited number: a cell of a prior block, or a source's error.

    `kind`: `prior`; `base`, the error of a source in the first year, which all of its years share; `drift`, what is
    added to it by the last year. `block`: the block's name, or the source. `prior`: its distribution; of an error, that
    of the factor between what is stated and the truth.
    """

    name: str
    kind: Literal["prior", "base", "drift"]
    block: str
    index: int
    prior: Prior

    def value(self, sds: float = 0.0) -> float:
        """The centre (median) in `prior.unit` once moved by so many prior sds."""
        return float(replace(self.prior, mu=self.prior.mu + sds * self.prior.sd).quantile(0.5))


def inputs(pset: PriorSet) -> list[Input]:
    """Every elicited number of a prior set that a user could move: each cell of each prior, and the report's error."""
    found = [
        Input(prior.name, "prior", block.name, index, prior)
        for block in pset.blocks.values()
        for index, prior in enumerate(block.priors)
        if not prior.open
    ]
    source = pset.ledger.report.id
    if source not in pset.sources:
        return found
    first, last = pset.ledger.years[0], pset.ledger.years[-1]
    (base, final), (bias, final_bias) = (f(source, [first, last]) for f in (pset.source_log_sd, pset.source_log_bias))
    unit = "stated / true"
    for name, kind, mu, sd in (
        (f"the report's error in {first}", "base", bias, base),
        (f"the report's error by {last}, beyond {first}'s", "drift", final_bias - bias, (final**2 - base**2) ** 0.5),
    ):
        if sd > 0:
            prior = Prior(name, "lognormal", float(mu), float(sd), unit, pset.trust.source, pset.trust.reason)
            found.append(Input(name, kind, source, 0, prior))  # type: ignore[arg-type]
    return found


def moved(pset: PriorSet, what: Input, sds: float) -> PriorSet:
    """The prior set with the centre of one input shifted by so many of its prior sds, on its link scale.

    Raises :class:`InputError` where ordered quantities could no longer be kept in order.
    """
    shift = sds * what.prior.sd
    if what.kind == "prior":
        block = pset.blocks[what.block]
        priors = list(block.priors)
        priors[what.index] = replace(
            what.prior, mu=what.prior.mu + shift, low=None, high=None, coverage=None, origin="moved"
        )
        changed = replace(block, priors=tuple(priors))
        changed.cholesky  # noqa: B018  an order that cannot be kept is found here
        return replace(pset, blocks={**pset.blocks, what.block: changed})
    bias = {"final_log_bias": pset.trust.final_log_bias + shift}
    if what.kind == "base":
        bias["base_log_bias"] = pset.trust.base_log_bias + shift
    return replace(pset, trust=pset.trust.model_copy(update=bias))


# ---- on stored draws -----------------------------------------------------------------------------------------------


def drawn(run: DataTree, pset: PriorSet, what: Input) -> Array | None:
    """A run's draws of one input [chain, draw] in its unit; None where the run has none."""
    posterior = group(run)
    if what.kind != "prior":
        return _error_drawn(run, pset, what.kind)
    if what.block in (v.PRICE, *map(v.price_growth, pset.ledger.modalities)):
        return _price_drawn(run, pset, what)
    if what.block not in posterior:
        return None
    values = posterior[what.block].transpose(*SAMPLE, ...).values
    return np.asarray(values.reshape(*values.shape[:2], -1)[..., what.index])


def _error_drawn(run: DataTree, pset: PriorSet, kind: str) -> Array | None:
    """The factor between stated and true in the first year, or what it grows by until the last."""
    posterior, ends = group(run), [pset.ledger.years[0], pset.ledger.years[-1]]
    error, dim = (name(pset, pset.ledger.report.id) for name in (v.source_error, v.source_year))
    if error not in posterior or not set(ends) <= set(posterior[dim].values):
        return None
    first, last = (posterior[error].sel({dim: year}).transpose(*SAMPLE).values for year in ends)
    return np.asarray(np.exp(first if kind == "base" else last - first))


def _price_drawn(run: DataTree, pset: PriorSet, what: Input) -> Array:
    """The price of a modality at its first anchor, or its growth a year between two anchors, log."""
    growth = {v.price_growth(m): m for m in pset.ledger.modalities}
    modality = growth.get(what.block) or pset.ledger.modalities[what.index]
    own = pset.anchors(modality)
    price = group(run)["price"].sel(modality=modality.name)
    if what.block == v.PRICE:
        return np.asarray(price.sel(year=own[0]).transpose(*SAMPLE).values)
    start, end = own[what.index], own[what.index + 1]
    ratio = (price.sel(year=end, drop=True) / price.sel(year=start, drop=True)).transpose(*SAMPLE)
    return np.asarray(np.log(ratio.values) / (end - start))


def log_ratio(run: DataTree, pset: PriorSet, what: Input, to: PriorSet) -> Array | None:
    """Log of the density of stored draws [chain, draw] under a moved prior over that under the prior as it is.

    None where the run has no draws of the input. Coupled levels count with the coupling that they would then have.
    """
    if what.kind != "prior":
        return _error_ratio(run, pset, to)
    block, new = pset.blocks[what.block], to.blocks[what.block]
    sds = (new.priors[what.index].mu - what.prior.mu) / what.prior.sd
    if block.correlation is not None:
        z = group(run)[f"{what.block}_z"].transpose(*SAMPLE, ...).values
        score = z @ block.cholesky.T  # on the link scale, in prior sds
        score[..., what.index] -= sds
        other = np.linalg.solve(new.cholesky, score.reshape(-1, score.shape[-1]).T).T.reshape(score.shape)
        logs = np.log(np.diag(block.cholesky)).sum() - np.log(np.diag(new.cholesky)).sum()
        return np.asarray(((z**2).sum(axis=-1) - (other**2).sum(axis=-1)) / 2 + logs)
    draws = drawn(run, pset, what)
    if draws is None:
        return None
    forward, _ = LINK[what.prior.family]
    score = (forward(draws) - what.prior.mu) / what.prior.sd
    if is_heavy(what.prior.family):
        return np.asarray(student.logpdf(score - sds, STUDENT_DF) - student.logpdf(score, STUDENT_DF))
    return np.asarray((score**2 - (score - sds) ** 2) / 2)


def _error_ratio(run: DataTree, pset: PriorSet, to: PriorSet) -> Array | None:
    posterior, source = group(run), pset.ledger.report.id
    standard = v.standard(v.source_error(pset, source))
    if standard not in posterior:
        return None
    z = posterior[standard].transpose(*SAMPLE, ...)
    years = [int(year) for year in z[v.source_year(pset, source)].values]
    step = np.sqrt(np.maximum(np.diff(pset.source_log_sd(source, years) ** 2, prepend=0.0), 0.0))
    bias = to.source_log_bias(source, years) - pset.source_log_bias(source, years)
    shift = np.diff(bias, prepend=0.0)
    if ((step <= 0) & (np.abs(shift) > 0)).any():
        return None  # a step that cannot be taken has no density
    shift = np.divide(shift, step, out=np.zeros_like(shift), where=step > 0)
    return np.asarray(((z.values**2) - (z.values - shift) ** 2).sum(axis=-1) / 2)


def learned(run: DataTree, pset: PriorSet, what: Input, outcome: Array) -> dict[str, float]:
    """The conditional mean of an outcome [chain, draw] where an input is in its lowest and highest tenth of draws.

    A given-data estimate (no further model runs), with the mean of the input there and standard errors.
    """
    draws = drawn(run, pset, what)
    if draws is None or np.ptp(draws) == 0:
        return {}
    worth = ess_mean(outcome) / outcome.size
    found = {}
    for end, inside in (
        ("low", draws <= np.quantile(draws, TAIL)),
        ("high", draws >= np.quantile(draws, 1 - TAIL)),
    ):
        part = outcome[inside]
        found[f"learned_value_{end}"] = float(draws[inside].mean())
        found[f"learned_{end}"] = float(part.mean())
        found[f"learned_{end}_se"] = float(part.std(ddof=1) / np.sqrt(len(part) * min(1.0, worth)))
    return found


# ---- by refits -----------------------------------------------------------------------------------------------------


def tornado_sets(pset: PriorSet, of: Iterable[Input]) -> dict[str, PriorSet]:
    """The prior sets of a tornado's two ends by `NAME low` and `NAME high`; an end that no order allows is left out."""
    out = {}
    for what in of:
        for end, sds in (("low", -END), ("high", END)):
            try:
                out[f"{what.name} {end}"] = moved(pset, what, sds)
            except InputError:
                continue
    return out


def total(draws: Refit, year: int) -> Array:
    """Total revenue of one year [chain, draw], millions."""
    return np.asarray(draws.draws["revenue_total"].sel(year=year).transpose(*SAMPLE).values)


def tornado(run: DataTree, base: Refit, pset: PriorSet, of: Iterable[Input], fits: Mapping[str, Refit]) -> pd.DataFrame:
    """What each input does to the last year's mean revenue, the widest first.

    Parameters: `fits` of :func:`tornado_sets`. Returns one row an input: its centre, and where it is moved to, in
    `unit`; revenue's mean at both ends, the `swing` from low to high with its Monte-Carlo error, in millions; the
    `direction`, 0 within three errors; the conditional means of :func:`learned`; and `missed`, why an end is not there.
    """
    year = pset.ledger.years[-1]
    outcome, rows = total(base, year), []
    for what in of:
        ends = {end: fits.get(f"{what.name} {end}") for end in ("low", "high")}
        row: dict[str, object] = {
            "input": what.name,
            "unit": what.prior.unit,
            "value_low": what.value(-END),
            "value": what.value(),
            "value_high": what.value(END),
            "missed": "; ".join(
                f"{end}: {'the order of its neighbours forbids it' if fit is None else fit.missed}"
                for end, fit in ends.items()
                if fit is None or fit.missed
            ),
        }
        means, errors = [], []
        for end, fit in ends.items():
            values = None if fit is None or fit.missed else total(fit, year)
            means.append(np.nan if values is None else float(values.mean()))
            errors.append(np.nan if values is None else mcse_mean(values))
            row[f"mean_{end}"], row[f"mean_{end}_se"] = means[-1], errors[-1]
        swing, error = means[1] - means[0], float(np.hypot(errors[0], errors[1]))
        clear = abs(swing) > CLEAR * error
        row |= {"mean": float(outcome.mean()), "swing": swing, "swing_se": error}
        row["direction"] = ("+" if swing > 0 else "-") if clear else "0" if np.isfinite(swing) else ""
        rows.append(row | learned(run, pset, what, outcome))
    table = pd.DataFrame(rows)
    return table.loc[table["swing"].abs().sort_values(ascending=False, na_position="last").index].reset_index(drop=True)
