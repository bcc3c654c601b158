"""Assumptions one at a time: each elicited number is shifted, and everything else fitted again.

A shift moves the centre of a prior by so many of its sds, on its link scale, and leaves its width. The effect is that
of *assuming* something else. *Learning* the number would do something else (the conditional mean of revenue given the
number, also in the table): given the report's revenue the unknowns depend on each other, and a high price goes with
few patients and an optimistic report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from xarray import DataTree

from postcgrp.inference.diagnostics import SAMPLE, ess_mean, mcse_mean
from postcgrp.models import variables as v
from postcgrp.models.correlated import joint_scores, log_dependence, scores_of
from postcgrp.models.standard import standard_of
from postcgrp.priors import InputError, Prior, PriorSet
from postcgrp.reports.runs.evidence import funnel_ratio
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
    `prior`, its distribution; for an error, that of the factor stated / true. `beside`, further cells that one standard
    draw moves together with this one: each is shifted by as many of its own sds.
    """

    name: str
    kind: Literal["prior", "base", "drift"]
    block: str
    index: int
    prior: Prior
    beside: tuple[int, ...] = ()

    def value(self, sds: float = 0.0) -> float:
        """The centre (median), in `prior.unit`, shifted by `sds` prior sds."""
        return float(replace(self.prior, mu=self.prior.mu + sds * self.prior.sd).quantile(0.5))


def elicited_numbers(pset: PriorSet) -> list[ElicitedNumber]:
    """Every elicited number that a user could shift: each cell of each closed prior, and the report's errors.

    Cells that one standard draw moves together are one number. Fixed numbers have no sd to be shifted by: see
    :func:`numbers_not_moved`.
    """
    cells = [number for name in pset.blocks for number in _numbers_of(pset, name)]
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


def _numbers_of(pset: PriorSet, name: str) -> Iterator[ElicitedNumber]:
    """The numbers of one block that can be shifted."""
    block, standard = pset.blocks[name], standard_of(pset, name)
    together = np.arange(len(block.priors))[:, None] if standard is None else standard.cells
    for cells in together.reshape(-1, together.shape[-1]) if together.size else ():
        moved = [int(k) for k in cells if block.priors[k].sd > 0 and not block.priors[k].open]
        if moved:
            prior = block.priors[moved[0]]
            named = prior.name if len(moved) == 1 else f"{prior.name} and {len(moved) - 1} more"
            yield ElicitedNumber(named, "prior", name, moved[0], prior, tuple(moved[1:]))


def numbers_not_moved(pset: PriorSet) -> list[ElicitedNumber]:
    """The cells of prior blocks that are fixed numbers, which nothing shifts."""
    return [
        ElicitedNumber(prior.name, "prior", block.name, index, prior)
        for block in pset.blocks.values()
        for index, prior in enumerate(block.priors)
        if prior.sd == 0
    ]


def shift_prior(pset: PriorSet, number: ElicitedNumber, by_sds: float) -> PriorSet:
    """The prior set with the centre of one number shifted by so many of its prior sds, on its link scale.

    Raises :class:`InputError` if quantities that must be in order no longer could be.
    """
    shift = by_sds * number.prior.sd
    if number.kind == "prior":
        block = pset.blocks[number.block]
        priors = list(block.priors)
        for k in (number.index, *number.beside):
            moved = priors[k].mu + by_sds * priors[k].sd
            priors[k] = replace(priors[k], mu=moved, low=None, high=None, coverage=None, origin="moved")
        changed = replace(block, priors=tuple(priors))
        changed.cholesky  # noqa: B018  raises if the order cannot be kept
        moved_set = replace(pset, blocks={**pset.blocks, number.block: changed})
        joint_scores(moved_set)  # raises where an order kept otherwise leaves no room for a correlation
        return moved_set
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
    modalities = {m.name: m for m in pset.ledger.modalities}
    growth = {v.price_growth(m): m for m in pset.ledger.modalities}
    modality = growth.get(number.block) or modalities[str(pset.coords["priced"][number.index])]
    anchors = pset.anchors(modality)
    price = group(run)[v.PRICE].sel(modality=modality.name)
    if number.block == v.PRICE:
        return np.asarray(price.sel(year=anchors[0]).transpose(*SAMPLE).values)
    start, end = anchors[number.index], anchors[number.index + 1]
    ratio = (price.sel(year=end, drop=True) / price.sel(year=start, drop=True)).transpose(*SAMPLE)
    return np.asarray(np.log(ratio.values) / (end - start))


def log_ratio(run: DataTree, pset: PriorSet, number: ElicitedNumber, shifted: PriorSet) -> Array | None:
    """Log density ratio of stored draws, shifted prior over prior [chain, draw].

    `shifted` is the prior set of :func:`shift_prior`; coupled levels are coupled as they are there. Where the report's
    revenue follows the claim that is moved, its likelihood moves too. Returns None if the run has no draws of the
    number, if the shifted prior gives them no density, or if they do not say how the likelihood moves.
    """
    return joint_log_ratio(run, pset, (number,), shifted)


def joint_log_ratio(
    run: DataTree, pset: PriorSet, numbers: Sequence[ElicitedNumber], shifted: PriorSet
) -> Array | None:
    """The same for several numbers that are shifted at once; `shifted`, with all of them where they are to be."""
    of_blocks: dict[str, list[ElicitedNumber]] = {}
    for number in numbers:
        of_blocks.setdefault("" if number.kind != "prior" else number.block, []).append(number)
    ratios: list[Array | None] = []
    if of_blocks.pop("", None):
        ratios.append(_error_ratio(run, pset, shifted))
    if of_blocks:
        likelihood = funnel_ratio(group(run), pset, shifted)
        priors = [_prior_ratio(run, pset, block, moved, shifted) for block, moved in of_blocks.items()]
        first = priors[0]
        ratios += [*priors, None if likelihood is None or first is None else likelihood.reshape(first.shape)]
        if pset.correlations and first is not None:
            ratios.append(_dependence_ratio(run, pset, shifted))
    found = [ratio for ratio in ratios if ratio is not None]
    return np.sum(found, axis=0) if len(found) == len(ratios) else None


def _prior_ratio(
    run: DataTree, pset: PriorSet, block: str, numbers: Sequence[ElicitedNumber], shifted: PriorSet
) -> Array | None:
    """What the prior of one block, some numbers of which are shifted, gives draws in the place of the one they have."""
    before, after = (standard_of(one, block) for one in (pset, shifted))
    priors = shifted.blocks[block].priors
    if before is not None and after is not None:
        if v.standard(block) not in group(run):
            return None
        score = scores_of(pset, block, _reader(run))
        by = np.zeros(score.shape[2:])
        for number in numbers:
            moved = np.any(before.cells == number.index, axis=-1)
            by += moved * (priors[number.index].mu - number.prior.mu) / number.prior.sd
        logs = after.log_density(score - by) - before.log_density(score)
        return np.asarray(logs.sum(axis=tuple(range(2, score.ndim))))
    parts = []
    for number in numbers:
        draws = draws_of_number(run, pset, number)
        if draws is None:
            return None
        parts.append(priors[number.index].log_density(draws) - number.prior.log_density(draws))
    return np.sum(parts, axis=0)


def _dependence_ratio(run: DataTree, pset: PriorSet, shifted: PriorSet) -> Array | None:
    """What correlations between named priors give draws in the place of what they have, once some are shifted."""
    if not {v.standard(name) for name in pset.connected} <= set(group(run)):
        return None
    read = _reader(run)
    return np.asarray(log_dependence(shifted, pset, read) - log_dependence(pset, pset, read))


def _reader(run: DataTree) -> Callable[[str], Array]:
    return lambda name: np.asarray(group(run)[name].transpose(*SAMPLE, ...).values)


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
    """The prior sets at both ends of a tornado, by `NAME low` and `NAME high`.

    Without those that break an order, and those of fixed numbers.
    """
    out = {}
    for number in (one for one in numbers if one.prior.sd > 0):
        for end, sds in (("low", -END_SDS), ("high", END_SDS)):
            try:
                out[f"{number.name} {end}"] = shift_prior(pset, number, sds)
            except InputError:
                continue
    return out


def _unfitted(number: ElicitedNumber) -> str:
    return "a fixed number is not moved" if number.prior.sd == 0 else "the order of its neighbours forbids it"


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
                f"{end}: {_unfitted(number) if fit is None else fit.missed}"
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
    order = table["swing"].abs().sort_values(ascending=False, na_position="last", kind="stable").index
    return table.loc[order].reset_index(drop=True)
