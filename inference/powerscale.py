"""Power-scaling: how the posterior answers when one group of priors, or one source of evidence, counts more or less.

A density raised to a power alpha counts alpha times. Stored draws are reweighted to that posterior by
Pareto-smoothed importance sampling, so nothing is fitted again; where the weights cannot be trusted there is a
reason and no number. Method: Kallioinen, Paananen, Buerkner & Vehtari (2024), Statistics and Computing 34, 57.

Densities are scaled as the model states them: a log-normal one on the variable's own scale, a price on the log scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr
from xarray import DataArray, DataTree

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.inference.psis import efficiency, reweight
from postcgrp.models import variables as v
from postcgrp.priors import InputError, Prior, PriorSet
from postcgrp.priors.elicit import is_heavy

Array = NDArray[np.float64]
Members = list[tuple[str, dict[str, str]]]

DRAWS = 4000  # psi is relative to the range of the draws, which grows with their number: compare at one number only
NEAR = (0.99, 1.01)  # where the derivative at alpha = 1 is taken, as in the paper
FAR = (0.8, 1.25)  # where shifts are reported: a fifth less and a quarter more
ROTATIONS = 20
CLEAR = 2.0  # standard errors from zero at which a direction is called one
QUANTILES = (0.05, 0.5, 0.95)
SAMPLE = ("chain", "draw")


# ---- groups --------------------------------------------------------------------------------------------------------


def groups(pset: PriorSet, names: Iterable[str]) -> dict[str, Members]:
    """The model's free variables by the group that a user thinks in; every variable, or part of one, in exactly one.

    Parameters: `names`, the free variables (those of a run's `log_prior`). Returns, by group, pairs of a variable and
    what to select of it (`DataArray.sel`; empty: all), see :func:`postcgrp.models.variables.free`. Raises
    :class:`InputError` for a variable that no group knows.
    """
    known: dict[str, list[v.Free]] = {}
    for part in v.free(pset):
        known.setdefault(part.name, []).append(part)
    out = dict[str, Members]()
    for name in names:
        if name not in known:
            raise InputError(f"{name!r}: a variable in no group of priors: make the run again with this version")
        for part in known[name]:
            out.setdefault(part.group, []).append((name, dict(part.part)))
    return out


def deviations(pset: PriorSet) -> set[str]:
    """Partially pooled deviations of regions around what they have in common: the inner level of the hierarchy.

    They belong to their group but stay as they are when it is power-scaled, for alpha would change how much regions
    are pooled and not what anybody elicited (Kallioinen et al. 2024 advise to scale top-level priors only).
    """
    return {part.name for part in v.free(pset) if part.pooled}


def components(run: DataTree, pset: PriorSet) -> dict[str, DataArray]:
    """Log density of every group of priors, and log likelihood of every source of evidence, in each draw.

    Deviations within a group are left out, see :func:`deviations`. Returns [chain, draw] by group.
    """
    prior, inner = run["log_prior"].to_dataset(), deviations(pset)
    out = {}
    for group, members in groups(pset, map(str, prior.data_vars)).items():
        parts = [_total(prior[name].sel(part)) for name, part in members if name not in inner]
        if parts:
            out[group] = sum(parts[1:], parts[0])
    if pset.evidence:
        likelihood = run["log_likelihood"].to_dataset()[v.EVIDENCE]
        for source in dict.fromkeys(row.source for row in pset.evidence):
            rows = [row.id for row in pset.evidence if row.source == source]
            out[f"evidence: {source}"] = _total(likelihood.sel({v.EVIDENCE_ROW: rows}))
    return out


def _total(density: DataArray) -> DataArray:
    return density.sum([dim for dim in density.dims if dim not in SAMPLE]).reset_coords(drop=True)


def scaled(pset: PriorSet, group: str, alpha: float) -> PriorSet:
    """The prior set whose posterior is the power-scaled one: what a refit is made of.

    A normal density to a power is a normal of sd / sqrt(alpha); a log-normal one on its own scale moves its log-mean
    by sd^2 (1 - alpha) / alpha too. The correlation that keeps levels from falling is found anew. Raises
    :class:`InputError` for what no prior set can state scaled: yearly noise, the error of another source than the
    report, and a Student-t; and for an unknown group.
    """
    if group.startswith("evidence: "):
        source = group.removeprefix("evidence: ")
        rows = [replace(e, log_sd=e.log_sd / alpha**0.5) if e.source == source else e for e in pset.evidence]
        return pset.with_evidence(rows)
    if group == v.TRUST:
        sds = {name: getattr(pset.trust, name) / alpha**0.5 for name in ("base_log_sd", "final_log_sd")}
        return replace(pset, trust=pset.trust.model_copy(update=sds))
    blocks = dict(pset.blocks)
    chosen: dict[str, set[str]] = {}  # by block, the cells that are scaled; empty for all
    for part in v.free(pset):
        if part.group == group and part.block is not None and not part.pooled:
            cells = chosen.setdefault(part.block, set())
            if part.block == v.PRICE:
                cells.add(f"{v.PRICE}[{group.removeprefix(f'{v.INTENSITY}: ')}]")
    for name, cells in chosen.items():
        priced = group.startswith(f"{v.INTENSITY}: ")
        priors = tuple(
            _powered(prior, alpha, by_log=priced) if not cells or prior.name in cells else prior
            for prior in blocks[name].priors
        )
        blocks[name] = replace(blocks[name], priors=priors)
    if blocks == pset.blocks:
        raise InputError(f"group {group!r} cannot be fitted power-scaled: name a group of elicited priors or a source")
    return replace(pset, blocks=blocks)


def _powered(prior: Prior, alpha: float, *, by_log: bool) -> Prior:
    if is_heavy(prior.family):
        raise InputError(f"{prior.name}: a Student-t to a power is none, so it cannot be fitted power-scaled")
    shift = prior.sd**2 * (1 - alpha) / alpha if prior.family == "lognormal" and not by_log else 0.0
    return replace(prior, mu=prior.mu + shift, sd=prior.sd / alpha**0.5, low=None, high=None, coverage=None)


# ---- sensitivity ---------------------------------------------------------------------------------------------------


def cjs_distance(values: Array, weights: Array) -> Array:
    """Cumulative Jensen-Shannon distance of weighted draws from the same draws unweighted, normalised to [0, 1].

    The larger one of that between the distribution functions and that between the survival functions, so that the
    sign of the quantity does not matter (Kallioinen et al. 2024; Nguyen & Vreeken 2015). NaN where the
    draws do not vary. Parameters: `values` [draw]; `weights` [draw, n], columns that sum to one. Returns [n].
    """
    order = np.argsort(values, kind="stable")
    gap = np.diff(values[order])[:, None]
    q = np.clip(np.cumsum(weights[order], axis=0)[:-1], 0.0, 1.0)
    p = np.broadcast_to(np.arange(1, len(values))[:, None] / len(values), q.shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(_cjs(p, q, gap), _cjs(1 - p, 1 - q, gap)))


def _cjs(p: Array, q: Array, gap: Array) -> Array:
    middle = (p + q) / 2
    divergence = (gap * (rel_entr(p, middle) + rel_entr(q, middle))).sum(axis=0) / np.log(2)
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0) / (gap * (p + q)).sum(axis=0)))


def psi(values: Array, low: Array, high: Array) -> Array:
    """Power-scaling sensitivity: the distance moved per doubling of alpha, at alpha = 1.

    Parameters: `values` [draw]; `low` and `high` [draw, n], weights at the two alphas `NEAR`. Returns [n]; above 0.05
    the paper calls a posterior sensitive.
    """
    distance = (cjs_distance(values, weights) for weights in (low, high))
    return np.asarray(np.mean([d / abs(np.log2(a)) for d, a in zip(distance, NEAR, strict=True)], axis=0))


def quantities(run: DataTree, pset: PriorSet) -> dict[str, DataArray]:
    """What sensitivity is asked of by default: total revenue at the anchors, its growth, modalities in the last year.

    Returns [chain, draw] by name, revenue in millions.
    """
    posterior, anchors = run["posterior"].to_dataset(), pset.ledger.report.anchors
    total, last = posterior[v.REVENUE_TOTAL], posterior[v.REVENUE].sel(year=anchors[-1]).sum(("region", "depth"))
    out = {f"revenue {year}": total.sel(year=year) for year in anchors}
    growth = (total.sel(year=anchors[-1]) / total.sel(year=anchors[0])) ** (1 / (anchors[-1] - anchors[0])) - 1
    out["growth a year"] = growth
    out |= {f"{m.name} {anchors[-1]}": last.sel(modality=m.name) for m in pset.ledger.modalities}
    return {name: draws.reset_coords(drop=True) for name, draws in out.items()}


def sensitivity(of: Mapping[str, DataArray], to: Mapping[str, DataArray]) -> pd.DataFrame:
    """Power-scaling sensitivity of every quantity to every group.

    Parameters: `of`, quantities, and `to`, log densities (:func:`components`), each [chain, draw] by name; of more
    than `DRAWS` draws as many are taken, evenly. Returns one row a pair: `psi`, NaN where refused; `noise`, the 95 %
    quantile of psi once draws and densities are shifted against each other, which is what unrelated ones have;
    `slope`, the derivative of the quantity's mean by log2(alpha) in its posterior sds, and its Monte-Carlo error `se`;
    `sign`, + where counting the group more raises the mean, - where it lowers it, 0 within two errors; `spread`, the
    derivative of the log of its sd; `k_low` and `k_high`, Pareto k at the two alphas; `draws`; `refused`, the reason
    for no number.
    """
    drawn, logs = _same_draws(of), _same_draws(to)
    weights = {name: [reweight((a - 1) * log, efficiency(log)) for a in NEAR] for name, log in logs.items()}
    good = [name for name, pair in weights.items() if not any(w.refused for w in pair)]
    low, high = (
        np.stack([weights[name][side].values for name in good], axis=-1)
        if good
        else np.empty((*next(iter(drawn.values())).shape, 0))
        for side in (0, 1)
    )
    rows = []
    for quantity, values in drawn.items():
        found, noise = _psi_and_noise(values, low, high)
        for name, log in logs.items():
            pair, k = weights[name], good.index(name) if name in good else None
            reason = next((w.refused for w in pair if w.refused), "")
            if k is not None and not np.isfinite(found[k]):
                reason, k = "the quantity does not vary", None
            slope, se, spread = (np.nan,) * 3 if k is None else _derivatives(values, log)
            rows.append(
                {
                    "group": name,
                    "quantity": quantity,
                    "psi": np.nan if k is None else found[k],
                    "noise": np.nan if k is None else noise[k],
                    "slope": slope,
                    "se": se,
                    "sign": "" if k is None else "0" if abs(slope) < CLEAR * se else "+" if slope > 0 else "-",
                    "spread": spread,
                    "k_low": pair[0].k,
                    "k_high": pair[1].k,
                    "draws": values.size,
                    "refused": reason,
                }
            )
    return pd.DataFrame(rows)


def shifts(of: Mapping[str, DataArray], to: Mapping[str, DataArray], alphas: Sequence[float] = FAR) -> pd.DataFrame:
    """Mean, sd and quantiles of every quantity when each group counts `alpha` times.

    Parameters as for :func:`sensitivity`. Returns one row for each group, quantity and alpha (alpha = 1: as it is),
    with Pareto `k`, the effective sample size `ess` of the weights and, where there is no number, `refused`.
    """
    drawn, logs = _same_draws(of), _same_draws(to)
    rows = []
    for group, log in logs.items():
        for alpha in sorted({1.0, *alphas}):
            weights = reweight((alpha - 1) * log, efficiency(log))
            about = {"k": weights.k, "ess": weights.ess, "draws": log.size, "refused": weights.refused}
            for quantity, values in drawn.items():
                found = summary(values, weights.values)
                rows.append({"group": group, "quantity": quantity, "alpha": alpha, **found, **about})
    return pd.DataFrame(rows)


def summary(values: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Mean, sd and the 5, 50 and 95 % quantiles of weighted draws (same shapes); NaN with NaN weights."""
    x, w = np.ravel(np.asarray(values, dtype=float)), np.ravel(np.asarray(weights, dtype=float))
    names = [f"q{100 * q:02.0f}" for q in QUANTILES]
    if not np.isfinite(w).all():
        return dict.fromkeys(("mean", "sd", *names), np.nan)
    mean = float(w @ x)
    found = np.quantile(x, QUANTILES, weights=w, method="inverted_cdf")
    return {"mean": mean, "sd": float(np.sqrt(w @ (x - mean) ** 2)), **dict(zip(names, map(float, found), strict=True))}


def _same_draws(by_name: Mapping[str, DataArray]) -> dict[str, Array]:
    """Arrays [chain, draw] of at most `DRAWS` draws, the same ones of each."""
    out = {}
    for name, draws in by_name.items():
        values = np.asarray(draws.transpose(*SAMPLE).values, dtype=float)
        chains, length = values.shape
        keep = max(1, DRAWS // chains)
        out[name] = values if length <= keep else values[:, np.arange(keep) * length // keep]
    return out


def _psi_and_noise(values: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """The psi of every group [group], and its 95 % quantile over rotations of the draws within their chains."""
    length = values.shape[1]
    steps = [0, *(length * np.arange(1, ROTATIONS + 1) // (ROTATIONS + 1))]
    turned = (
        np.concatenate([np.roll(w, s, axis=1).reshape(values.size, -1) for s in steps], axis=1) for w in (low, high)
    )
    found = psi(values.ravel(), *turned).reshape(len(steps), -1)
    return found[0], np.quantile(found[1:], 0.95, axis=0)


def _derivatives(values: Array, log: Array) -> tuple[float, float, float]:
    """Derivative of the mean by log2(alpha), in posterior sds, its Monte-Carlo error, and that of the log of the sd."""
    z, centred = (values - values.mean()) / values.std(), np.log(2) * (log - log.mean())
    error = mcse_mean(z * centred)
    return float((z * centred).mean()), error, float((z**2 * centred).mean() / 2)
