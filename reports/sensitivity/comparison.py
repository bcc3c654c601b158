"""How the forecast moved from one run to another, and what moved it: contributions of claims, priors and evidence.

Along the geometric path between two posteriors, p_t proportional to A^(1-t) B^t, the mean of any quantity q moves by
dE_t[q]/dt = Cov_t(q, log B/A). The log ratio is a sum of factors
(:mod:`postcgrp.reports.sensitivity.attribution`), so the covariance and its integral are sums too: contributions that
add up and need no order of the changes. Draws of both runs serve every t, weighted by the density there over that of
the mixture of both (Shirts & Chodera 2008, J Chem Phys 129, 124105; Meng & Wong 1996, Stat Sinica 6, 831), so no weight
is large where the runs overlap at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.elicit import expit
from postcgrp.reports.runs.evidence import Array, flat
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.attribution import between
from postcgrp.reports.sensitivity.movement import (
    AFTER,
    BEFORE,
    READ,
    TOTAL,
    Label,
    forecast_quantities,
    moved,
    with_error,
)
from postcgrp.reports.sensitivity.sides import Found

_NODES, STEPS = np.polynomial.legendre.leggauss(32)  # with 8, an eighth of the move to a set without revenue is missed
PATH = (_NODES + 1) / 2  # of the path, 0 to 1
_BLOCKS = 12  # of each run's draws, left out one after another
LEAST_ESS = 100.0  # equal weights that the draws are worth, anywhere on the path
_HALVINGS = 60
FAR = 50.0
_REST = "not attributed"
_CLEAR = 2.0  # Monte-Carlo errors from zero


@dataclass(frozen=True)
class Comparison:
    """How a forecast moved, and why.

    `moved`: the forecast of both runs, see :func:`moved`. `why`: one row per quantity and factor,
    see :func:`compare`. `structure`: changes that no ratio of densities expresses. `ess`: how many equal weights the
    draws are worth where on the path that is least. `refused`: why nothing is attributed, else empty.
    """

    moved: pd.DataFrame
    why: pd.DataFrame
    structure: tuple[str, ...]
    ess: float
    refused: str = ""


def compare(first: Run, second: Run) -> Comparison:
    """What moved the forecast from `first` to `second`.

    `why` holds, for the total at the anchors and each modality in the last year, each factor, the largest first:
    `factor`, `kind` and `change`; `moves`, its part of the difference of the means (second less first), `widens`, of
    the sds, and their Monte-Carlo errors (`_mcse`, by leaving out blocks of draws), in millions. The row `not
    attributed` is the rest: changes of structure, and Monte-Carlo error. Raises :class:`InputError` for runs in two
    currencies or without a common year.
    """
    units = [run.money for run in (first, second)]
    if units[0] != units[1]:
        raise InputError(f"{second.label}: is in {units[1]}, but {first.label} in {units[0]}: compare runs of one")
    sides = [forecast_quantities(run.read(READ), run.priors.ledger) for run in (first, second)]
    labels = [
        label
        for label in sides[0]
        if label in sides[1] and any(np.ptp(side[label].values) > 0 for side in sides)  # there is nothing to explain
    ]
    if not labels:
        raise InputError(f"{second.label}: has no anchor year in common with {first.label}: compare runs of one market")
    values = [np.column_stack([flat(side[label]) for label in labels]) for side in sides]
    mixtures = [run.label for run in (first, second) if run.mixture]
    found = Found() if mixtures else between(first, second)
    lost = [f.name for f in found.factors if not all(np.isfinite(ratio).all() for ratio in f.log_ratio)]
    pools = [
        np.column_stack([np.zeros(len(v)), *(f.log_ratio[k] for f in found.factors)]) for k, v in enumerate(values)
    ]
    refused, ess = "", np.nan
    if mixtures:
        refused = f"{' and '.join(mixtures)}: a linear pool has no density of its own to attribute a move by"
    elif lost:
        refused = f"one run has draws that the other rules out ({', '.join(lost)})"
    elif found.factors:
        ess = least_ess(*pools)
        if ess < LEAST_ESS:
            refused = f"the two runs hardly overlap: all draws are worth {ess:.0f} between them, {LEAST_ESS:.0f} needed"
    pools = [pool[:, :1] for pool in pools] if refused else pools
    parts, errors = contributions(values, pools)
    named = [(f.name, f.kind, f.change) for f in found.factors] if not refused else []
    rest = refused or "; ".join(found.structure) or "Monte-Carlo error"
    rows = _rows(
        labels, [sides[0][label].attrs["unit"] for label in labels], [*named, (_REST, "rest", rest)], parts, errors
    )
    return Comparison(moved(sides[0], sides[1]), rows, tuple(found.structure), ess, refused)


def _rows(
    labels: list[Label], units: list[str], named: list[tuple[str, str, str]], parts: Array, errors: Array
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for q, label in enumerate(labels):
        own = dict(zip(("quantity", "year", "modality"), label, strict=True)) | {"unit": units[q]}
        order = sorted(range(len(named)), key=lambda j: (named[j][0] == _REST, -abs(parts[j, 0, q])))
        for j in order:
            by = dict(zip(("factor", "kind", "change"), named[j], strict=True))
            numbers = (parts[j, 0, q], errors[j, 0, q], parts[j, 1, q], errors[j, 1, q])
            rows.append(own | by | dict(zip(("moves", "moves_mcse", "widens", "widens_mcse"), numbers, strict=True)))
    return pd.DataFrame(rows)


def last_total(found: Comparison) -> tuple[pd.DataFrame, tuple[float, float], int]:
    """The rows on the last year's total, its mean in both runs, and that year."""
    total = found.why[found.why["quantity"] == TOTAL]
    year = int(total["year"].max())
    sides = found.moved[(found.moved["quantity"] == TOTAL) & (found.moved["year"] == year)].set_index("state")["mean"]
    return total[total["year"] == year], (float(sides[BEFORE]), float(sides[AFTER])), year


def compare_said(found: Comparison) -> str:
    """One sentence on a comparison: where the last year's median went, and the factor that moved its mean most."""
    why, means, year = last_total(found)
    sides = found.moved[(found.moved["quantity"] == TOTAL) & (found.moved["year"] == year)].set_index("state")
    before, after = (with_error(float(sides["median"][s]), float(sides["mcse_median"][s])) for s in (BEFORE, AFTER))
    told = f"The median of {year} goes from {before} to {after} {sides['unit'].iloc[0]}"
    known = why[(why["factor"] != _REST) & (why["moves"].abs() > _CLEAR * why["moves_mcse"])]
    if known.empty:
        return (
            f"{told}; its mean moves by {means[1] - means[0]:+,.0f}, of which no factor is clear of Monte-Carlo error."
        )
    top: Any = known.iloc[int(known["moves"].abs().argmax())]
    moved_by = f"{top['moves']:+,.1f} ± {top['moves_mcse']:,.1f}"
    return f"{told}; its mean moves by {means[1] - means[0]:+,.1f}, most by {top['factor']}, {moved_by}."


def leading(why: pd.DataFrame, most: int) -> pd.DataFrame:
    """The factors of one quantity that clearly move or widen it, at most so many; all others as one; the rest.

    The others have no error of their own: theirs depend on each other.
    """
    known, rest = why[why["factor"] != _REST], why[why["factor"] == _REST]
    seen = [abs(known[name]) > _CLEAR * known[f"{name}_mcse"] for name in ("moves", "widens")]
    clear = known[seen[0] | seen[1]].iloc[:most]
    small = known.drop(clear.index)
    others = {"factor": f"{len(small)} others", "kind": "rest", "change": ""}
    sums = {name: small[name].sum() for name in ("moves", "widens")}
    none = dict.fromkeys(("moves_mcse", "widens_mcse"), np.nan)
    lumped = [pd.DataFrame([others | sums | none])] if len(small) else []
    return pd.concat([clear, *lumped, rest], ignore_index=True)


def contributions(values: list[Array], log_ratio: list[Array]) -> tuple[Array, Array]:
    """What each factor adds to the means and sds between two posteriors, with Monte-Carlo errors.

    Parameters: for each run, `values` [draw, quantity] and `log_ratio` [draw, factor], of the second posterior over
    the first, each up to a constant; the first column is zeros. Returns [factor, 2, quantity], the last factor being
    what is left over, for means and sds, and the errors alike, by a jackknife over blocks of consecutive draws.
    """
    whole = _attributed(values, log_ratio)
    variance = np.zeros_like(whole)
    for k in range(len(values)):
        parts = []
        for block in np.array_split(np.arange(len(values[k])), _BLOCKS):
            v, r = list(values), list(log_ratio)
            v[k], r[k] = np.delete(v[k], block, axis=0), np.delete(r[k], block, axis=0)
            parts.append(_attributed(v, r))
        variance += np.var(parts, axis=0) * (_BLOCKS - 1)
    return whole, np.sqrt(variance)


def _attributed(values: list[Array], log_ratio: list[Array]) -> Array:
    x, factors = np.concatenate(values), np.concatenate(log_ratio)
    shift = np.stack([values[1].mean(axis=0) - values[0].mean(axis=0), values[1].std(axis=0) - values[0].std(axis=0)])
    influence = np.zeros((len(x), 2 * x.shape[1]))
    for step, weight in zip(STEPS / 2, path_weights(*log_ratio), strict=True):
        centred = x - weight @ x
        variance = weight @ centred**2
        scaled = (centred**2 - variance) / (2 * np.sqrt(variance))
        influence += step * weight[:, None] * np.hstack([centred, scaled])
    # Either has mean zero at every node, so the factors need not be centred.
    parts = (factors.T @ influence).reshape(-1, *shift.shape)
    return np.concatenate([parts[1:], (shift - parts.sum(axis=0))[None]])


def path_weights(first: Array, second: Array) -> Array:
    """Weights [node, draw] of both runs' draws at each node of the path, each row summing to one.

    Parameters: `first` and `second` [draw, factor], log ratios in each run's draws. Their normalising constant is
    Bennett's: the mixture's share of the second run is then that of its draws.
    """
    ratio = np.concatenate([first.sum(axis=1), second.sum(axis=1)])
    share = np.log(len(second) / len(first))
    low, high = -ratio.max() - share - FAR, -ratio.min() - share + FAR
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(ratio + share + middle).sum() < len(second) else (low, middle)
    ratio = ratio + (low + high) / 2
    log = PATH[:, None] * ratio - np.logaddexp(0.0, ratio + share)
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def least_ess(first: Array, second: Array) -> float:
    """How many equal weights the draws are worth where on the path that is least; see :func:`path_weights`."""
    return float((1 / (path_weights(first, second) ** 2).sum(axis=1)).min())
