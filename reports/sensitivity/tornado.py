"""Assumptions one at a time: each elicited number is shifted, and everything else fitted again.

A shift moves the centre of a prior by so many of its sds, on its link scale, and leaves its width. The effect is that
of *assuming* something else. *Learning* the number would do something else (the conditional mean of revenue given the
number, also in the table): given the report's revenue the unknowns depend on each other, and a high price goes with
few patients and an optimistic report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from xarray import DataTree

from postcgrp.inference.diagnostics import SAMPLE, ess_mean, mcse_mean
from postcgrp.models import variables as v
from postcgrp.priors import InputError, Prior, PriorSet
from postcgrp.reports.runs.groups import group
from postcgrp.reports.sensitivity.refits import Refit

Array = NDArray[np.float64]

TAIL_MASS = 0.1  # beyond either end of the tornado, which lie at the 10 % and 90 % quantiles of the unshifted prior
END_SDS = float(ndtri(1 - TAIL_MASS))  # how far an end is from the centre, in prior sds
CLEAR = 3.0  # standard errors from zero from which an effect counts: dozens are judged at once


@dataclass(frozen=True)
class ElicitedNumber:
    """One number that somebody elicited: a cell of a prior block, or an error of a source.

    Attributes: `kind`: `prior`; `base`, a source's error in its first year, shared by all of its years; or `drift`,
    what the last year adds to that. `block`, the block's name, or the source. `index`, the cell in the flattened block.
    `prior`, its distribution; for an error, that of the factor stated / true.
    """

    name: str
    kind: Literal["prior", "base", "drift"]
    block: str
    index: int
    prior: Prior

    def value(self, sds: float = 0.0) -> float:
        """The centre (median), in `prior.unit`, shifted by `sds` prior sds."""
        return float(replace(self.prior, mu=self.prior.mu + sds * self.prior.sd).quantile(0.5))


def elicited_numbers(pset: PriorSet) -> list[ElicitedNumber]:
    """Every elicited number that a user could shift: each cell of each closed prior, and the report's errors."""
    cells = [
        ElicitedNumber(prior.name, "prior", block.name, index, prior)
        for block in pset.blocks.values()
        for index, prior in enumerate(block.priors)
        if not prior.open
    ]
    source = pset.ledger.report.id
    if source not in pset.sources:
        return cells
    first, last = pset.ledger.years[0], pset.ledger.years[-1]
    (base, final), (bias, final_bias) = (f(source, [first, last]) for f in (pset.source_log_sd, pset.source_log_bias))
    unit = "stated / true"
    errors: list[tuple[str, Literal["base", "drift"], float, float]] = [
        (f"the report's error in {first}", "base", bias, base),
        (f"the report's error by {last}, beyond {first}'s", "drift", final_bias - bias, (final**2 - base**2) ** 0.5),
    ]
    for name, kind, mu, sd in errors:
        if sd > 0:
            prior = Prior(name, "lognormal", float(mu), float(sd), unit, pset.trust.source, pset.trust.reason)
            cells.append(ElicitedNumber(name, kind, source, 0, prior))
    return cells


def shift_prior(pset: PriorSet, number: ElicitedNumber, by_sds: float) -> PriorSet:
    """The prior set with the centre of one number shifted by so many of its prior sds, on its link scale.

    Raises :class:`InputError` if quantities that must be in order no longer could be.
    """
    shift = by_sds * number.prior.sd
    if number.kind == "prior":
        block = pset.blocks[number.block]
        priors = list(block.priors)
        priors[number.index] = replace(
            number.prior, mu=number.prior.mu + shift, low=None, high=None, coverage=None, origin="moved"
        )
        changed = replace(block, priors=tuple(priors))
        changed.cholesky  # noqa: B018  raises if the order cannot be kept
        return replace(pset, blocks={**pset.blocks, number.block: changed})
    bias = {"final_log_bias": pset.trust.final_log_bias + shift}
    if number.kind == "base":
        bias["base_log_bias"] = pset.trust.base_log_bias + shift
    return replace(pset, trust=pset.trust.model_copy(update=bias))


# ---- on stored draws -----------------------------------------------------------------------------------------------


def draws_of_number(run: DataTree, pset: PriorSet, number: ElicitedNumber) -> Array | None:
    """A run's draws of one number [chain, draw] in its unit; None if the run did not store them."""
    posterior = group(run)
    if number.kind != "prior":
        return _error_draws(run, pset, number.kind)
    if number.block in (v.PRICE, *map(v.price_growth, pset.ledger.modalities)):
        return _price_draws(run, pset, number)
    if number.block not in posterior:
        return None
    values = posterior[number.block].transpose(*SAMPLE, ...).values
    return np.asarray(values.reshape(*values.shape[:2], -1)[..., number.index])


def _error_draws(run: DataTree, pset: PriorSet, kind: str) -> Array | None:
    """Draws of stated / true in the first year, or of what that is multiplied by until the last [chain, draw].

    Returns None if the model has no error of the report in these years.
    """
    posterior, ends = group(run), [pset.ledger.years[0], pset.ledger.years[-1]]
    error, dim = (name(pset, pset.ledger.report.id) for name in (v.source_error, v.source_year))
    if error not in posterior or not set(ends) <= set(posterior[dim].values):
        return None
    first, last = (posterior[error].sel({dim: year}).transpose(*SAMPLE).values for year in ends)
    return np.asarray(np.exp(first if kind == "base" else last - first))


def _price_draws(run: DataTree, pset: PriorSet, number: ElicitedNumber) -> Array:
    """A modality's price at its first anchor, or its yearly log growth between two anchors [chain, draw]."""
    growth = {v.price_growth(m): m for m in pset.ledger.modalities}
    modality = growth.get(number.block) or pset.ledger.modalities[number.index]
    anchors = pset.anchors(modality)
    price = group(run)[v.PRICE].sel(modality=modality.name)
    if number.block == v.PRICE:
        return np.asarray(price.sel(year=anchors[0]).transpose(*SAMPLE).values)
    start, end = anchors[number.index], anchors[number.index + 1]
    ratio = (price.sel(year=end, drop=True) / price.sel(year=start, drop=True)).transpose(*SAMPLE)
    return np.asarray(np.log(ratio.values) / (end - start))


def log_ratio(run: DataTree, pset: PriorSet, number: ElicitedNumber, shifted: PriorSet) -> Array | None:
    """Log density ratio of stored draws, shifted prior over prior [chain, draw].

    `shifted` is the prior set of :func:`shift_prior`; coupled levels are coupled as they are there. Returns None if the
    run has no draws of the number, or if the shifted prior gives them no density.
    """
    if number.kind != "prior":
        return _error_ratio(run, pset, shifted)
    block, new = pset.blocks[number.block], shifted.blocks[number.block]
    sds = (new.priors[number.index].mu - number.prior.mu) / number.prior.sd
    if block.correlation is not None:
        z = group(run)[v.standard(number.block)].transpose(*SAMPLE, ...).values
        score = z @ block.cholesky.T  # on the link scale, in prior sds
        score[..., number.index] -= sds
        other = np.linalg.solve(new.cholesky, score.reshape(-1, score.shape[-1]).T).T.reshape(score.shape)
        logs = np.log(np.diag(block.cholesky)).sum() - np.log(np.diag(new.cholesky)).sum()
        return np.asarray(((z**2).sum(axis=-1) - (other**2).sum(axis=-1)) / 2 + logs)
    draws = draws_of_number(run, pset, number)
    if draws is None:
        return None
    return new.priors[number.index].log_density(draws) - number.prior.log_density(draws)


def _error_ratio(run: DataTree, pset: PriorSet, shifted: PriorSet) -> Array | None:
    posterior, source = group(run), pset.ledger.report.id
    standard = v.standard(v.source_error(pset, source))
    if standard not in posterior:
        return None
    z = posterior[standard].transpose(*SAMPLE, ...)
    years = [int(year) for year in z[v.source_year(pset, source)].values]
    step = np.sqrt(np.maximum(np.diff(pset.source_log_sd(source, years) ** 2, prepend=0.0), 0.0))
    bias = shifted.source_log_bias(source, years) - pset.source_log_bias(source, years)
    shift = np.diff(bias, prepend=0.0)
    if ((step <= 0) & (np.abs(shift) > 0)).any():
        return None  # a step that the prior rules out
    shift = np.divide(shift, step, out=np.zeros_like(shift), where=step > 0)
    return np.asarray(((z.values**2) - (z.values - shift) ** 2).sum(axis=-1) / 2)


def conditional_means(run: DataTree, pset: PriorSet, number: ElicitedNumber, outcome: Array) -> dict[str, float]:
    """The mean of an outcome [chain, draw] among the lowest and the highest tenth of a number's draws.

    An estimate from the draws at hand, without further fits. Returns columns `learned_low`, `learned_high`, their
    standard errors `_se`, and `learned_value_low` and `learned_value_high`, the number's own mean there; nothing if the
    run has no draws of it or it does not vary.
    """
    draws = draws_of_number(run, pset, number)
    if draws is None or np.ptp(draws) == 0:
        return {}
    worth = ess_mean(outcome) / outcome.size  # of a draw, in independent ones
    columns = {}
    for end, inside in (
        ("low", draws <= np.quantile(draws, TAIL_MASS)),
        ("high", draws >= np.quantile(draws, 1 - TAIL_MASS)),
    ):
        part = outcome[inside]
        columns[f"learned_value_{end}"] = float(draws[inside].mean())
        columns[f"learned_{end}"] = float(part.mean())
        columns[f"learned_{end}_se"] = float(part.std(ddof=1) / np.sqrt(len(part) * min(1.0, worth)))
    return columns


# ---- by refits -----------------------------------------------------------------------------------------------------


def shifted_sets(pset: PriorSet, numbers: Iterable[ElicitedNumber]) -> dict[str, PriorSet]:
    """The prior sets at both ends of a tornado, by `NAME low` and `NAME high`, without those that break an order."""
    out = {}
    for number in numbers:
        for end, sds in (("low", -END_SDS), ("high", END_SDS)):
            try:
                out[f"{number.name} {end}"] = shift_prior(pset, number, sds)
            except InputError:
                continue
    return out


def total_revenue(fit: Refit, year: int) -> Array:
    """Total revenue of one year [chain, draw], in millions."""
    return np.asarray(fit.draws["revenue_total"].sel(year=year).transpose(*SAMPLE).values)


def tornado_table(
    run: DataTree, base: Refit, pset: PriorSet, numbers: Iterable[ElicitedNumber], fits: Mapping[str, Refit]
) -> pd.DataFrame:
    """What shifting each number does to the last year's mean revenue, the widest swing first.

    Parameters: `base`, the run; `fits`, refits of :func:`shifted_sets` by name. Returns one row per number: its centre
    `value` and where it is shifted to, in `unit`; mean revenue at both ends and the `swing` from low to high with its
    Monte-Carlo error, in millions; the `direction`, 0 within three errors; the columns of :func:`conditional_means`;
    and `missed`, why an end is missing.
    """
    year = pset.ledger.years[-1]
    outcome, rows = total_revenue(base, year), []
    for number in numbers:
        ends = {end: fits.get(f"{number.name} {end}") for end in ("low", "high")}
        row: dict[str, object] = {
            "input": number.name,
            "unit": number.prior.unit,
            "value_low": number.value(-END_SDS),
            "value": number.value(),
            "value_high": number.value(END_SDS),
            "missed": "; ".join(
                f"{end}: {'the order of its neighbours forbids it' if fit is None else fit.missed}"
                for end, fit in ends.items()
                if fit is None or fit.missed
            ),
        }
        means, errors = [], []
        for end, fit in ends.items():
            values = None if fit is None or fit.missed else total_revenue(fit, year)
            means.append(np.nan if values is None else float(values.mean()))
            errors.append(np.nan if values is None else mcse_mean(values))
            row[f"mean_{end}"], row[f"mean_{end}_se"] = means[-1], errors[-1]
        swing, error = means[1] - means[0], float(np.hypot(errors[0], errors[1]))
        clear = abs(swing) > CLEAR * error
        row |= {"mean": float(outcome.mean()), "swing": swing, "swing_se": error}
        row["direction"] = ("+" if swing > 0 else "-") if clear else "0" if np.isfinite(swing) else ""
        rows.append(row | conditional_means(run, pset, number, outcome))
    table = pd.DataFrame(rows)
    return table.loc[table["swing"].abs().sort_values(ascending=False, na_position="last").index].reset_index(drop=True)
