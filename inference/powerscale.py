"""Power-scaling: how the posterior answers when one group of priors, or one source of evidence, counts more or less.

A density raised to a power alpha counts alpha times. Stored draws are reweighted to the posterior with that density by
Pareto-smoothed importance sampling, so nothing is fitted again; where the weights cannot be trusted, there is a reason
instead of a number. Method: Kallioinen, Paananen, Buerkner & Vehtari (2024), Statistics and Computing 34, 57.

Densities are scaled as the model states them: a log-normal one on the variable's own scale, but on the log scale where
the variable is moved by standard draws or follows from stated revenue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, rel_entr
from xarray import DataArray, DataTree

from postcgrp.inference.diagnostics import SAMPLE, mcse_mean
from postcgrp.inference.estimates import weighted_summary
from postcgrp.inference.psis import reweight
from postcgrp.models import variables as v
from postcgrp.models.free import TRUST, Free, free
from postcgrp.priors import InputError, Ledger, Prior, PriorSet
from postcgrp.priors.catalogue import RESIDUAL_SDS
from postcgrp.priors.elicit import is_heavy
from postcgrp.priors.lookup import assumption

Array = NDArray[np.float64]
Members = list[tuple[str, dict[str, str]]]

PSI_DRAWS = 4000  # psi is relative to the range of the draws, which grows with their number: always take as many
DERIVATIVE_ALPHAS = (0.99, 1.01)  # between which the derivative at alpha = 1 is taken, as in the paper
SHIFT_ALPHAS = (0.8, 1.25)  # at which shifts are reported: a fifth less and a quarter more
ROTATIONS = 20
FALSE_ALARM = 0.05  # chance that any psi of a table of unrelated draws is above its noise line
PSI_BLOCKS = 20  # of consecutive draws, left out in turn for the error of psi
PSI_ERRORS = 2.0  # standard errors that psi must lie above what unrelated draws give on average
SMALLEST_PSI = 1e-12  # of a psi whose log is taken
SIGN_ERRORS = 2.0  # standard errors from zero at which a slope has a sign


# ---- groups --------------------------------------------------------------------------------------------------------


def groups(pset: PriorSet, names: Iterable[str]) -> dict[str, Members]:
    """The model's free variables in groups that a user thinks in; every variable, or part of one, is in exactly one.

    Parameters: `names`, the free variables (those of a run's `log_prior`). Returns, by group, pairs of a variable and
    what to select of it (`DataArray.sel`; empty: all), see :func:`postcgrp.models.free.free`. Raises
    :class:`InputError` for a variable that no group knows.
    """
    known: dict[str, list[Free]] = {}
    for part in free(pset):
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

    They belong to their group but are not power-scaled with it: alpha would change how strongly regions are pooled, and
    not what anybody elicited (Kallioinen et al. 2024 advise scaling top-level priors only).
    """
    return {part.name for part in free(pset) if part.pooled}


def components(run: DataTree, pset: PriorSet) -> dict[str, DataArray]:
    """Log density of every group of priors, and log likelihood of every source of evidence, in each draw.

    Deviations within a group are left out, see :func:`deviations`, and so are standard draws that move nothing because
    their numbers are fixed. The likelihood of a source is that of its rows given the error that each draw holds of it;
    for what the source as a whole says, its error integrated out, see `reports/runs/evidence.py`. Returns
    [chain, draw] by group.
    """
    prior, inner = run["log_prior"].to_dataset(), deviations(pset)
    still = {(part.name, tuple(part.part.items())) for part in free(pset) if _is_fixed(pset, part)}
    out = {}
    for group, members in groups(pset, map(str, prior.data_vars)).items():
        parts = [
            _total(prior[name].sel(part))
            for name, part in members
            if name not in inner and (name, tuple(part.items())) not in still
        ]
        if parts:
            out[group] = sum(parts[1:], parts[0])
    if pset.measured:
        likelihood = run["log_likelihood"].to_dataset()[v.EVIDENCE]
        for source in dict.fromkeys(row.source for row in pset.evidence):
            rows = [row.id for row in pset.measured if row.source == source]
            if rows:
                out[f"evidence: {source}"] = _total(likelihood.sel({v.EVIDENCE_ROW: rows}))
    return out


def _is_fixed(pset: PriorSet, part: Free) -> bool:
    """Whether all numbers that elicit a part of a free variable are fixed."""
    if part.block is None:
        return False
    pairs = zip(pset.blocks[part.block].priors, pset.cells(part.block, part.elicited), strict=True)
    return all(prior.sd == 0 for prior, cell in pairs if cell)


def _total(density: DataArray) -> DataArray:
    return density.sum([dim for dim in density.dims if dim not in SAMPLE]).reset_coords(drop=True)


def scaled(pset: PriorSet, group: str, alpha: float) -> PriorSet:
    """The prior set whose posterior is the power-scaled one, for a refit.

    A normal density to a power is a normal with sd / sqrt(alpha); a log-normal one on its own scale also moves its
    log-mean by sd^2 (1 - alpha) / alpha, and one of standard draws does not. The correlation that keeps levels from
    falling is found anew; fixed numbers stay. A source of evidence is scaled with its error: rows and error alike count
    alpha times. Raises :class:`InputError` for an unknown group, and for densities whose powers no prior set can state:
    yearly noise, the error of a source other than the report, and a Student-t.
    """
    if group.startswith("evidence: "):
        return _scaled_source(pset, group, alpha)
    blocks, ledger, trust = dict(pset.blocks), pset.ledger, pset.trust
    if group == TRUST:
        trust = _with_trust(pset, alpha).trust
    chosen: dict[str, NDArray[np.bool_]] = {}  # by block, which of its priors
    by_log: set[str] = set()  # blocks whose density is on the log scale, not on the variable's own
    for part in free(pset):
        if part.group == group and part.block is not None and not part.pooled:
            chosen[part.block] = chosen.get(part.block, False) | pset.cells(part.block, part.elicited)
            by_log |= {part.block} if part.name != part.block else set()
    _check_unconnected(pset, group, chosen)
    for name, cells in chosen.items():
        pairs = zip(blocks[name].priors, cells, strict=True)
        priors = tuple(_powered(prior, alpha, by_log=name in by_log) if cell else prior for prior, cell in pairs)
        blocks[name] = replace(blocks[name], priors=priors)
    for modality in pset.ledger.modalities:
        if group == f"{v.INTENSITY}: {modality.name}" and modality.name not in pset.coords["priced"]:
            for name in RESIDUAL_SDS:
                ledger = _with_number(
                    ledger, name, modality.name, pset.number(name, modality=modality.name) / alpha**0.5
                )
    if (blocks, ledger, trust) == (pset.blocks, pset.ledger, pset.trust):
        raise InputError(f"group {group!r} cannot be fitted power-scaled: name a group of elicited priors or a source")
    return replace(pset, blocks=blocks, ledger=ledger, trust=trust)


def _check_unconnected(pset: PriorSet, group: str, blocks: Iterable[str]) -> None:
    """Raises :class:`InputError` for a block that a correlation connects with others: they would be scaled in part."""
    if connected := ", ".join(sorted(set(blocks) & set(pset.connected))):
        raise InputError(
            f"group {group!r} cannot be fitted power-scaled: {connected} is correlated with other priors, and would be "
            "scaled without them: remove the correlation"
        )


def _scaled_source(pset: PriorSet, group: str, alpha: float) -> PriorSet:
    """The prior set with the density of a source's rows, and of its error, to a power."""
    source = group.removeprefix("evidence: ")
    rows = [replace(e, log_sd=e.log_sd / alpha**0.5) if e.source == source else e for e in pset.evidence]
    if source != pset.ledger.report.id and any(e.source == source and e.shared_error for e in rows):
        raise InputError(f"group {group!r} cannot be fitted power-scaled: only the report's error can be set")
    if any(e.source == source and e.is_bound for e in rows):
        raise InputError(f"group {group!r} cannot be fitted power-scaled: the power of a bound on a launch is none")
    scaled_rows = pset.with_evidence(rows)
    return _with_trust(scaled_rows, alpha) if source == pset.ledger.report.id else scaled_rows


def _with_number(ledger: Ledger, name: str, modality: str, value: float) -> Ledger:
    """The ledger with another fixed number for one modality."""
    row = assumption(ledger, name, {"modality": modality})
    others = tuple(a for a in ledger.assumptions if a is not row or row.modality is None)
    return ledger.model_copy(
        update={"assumptions": (*others, row.model_copy(update={"modality": modality, "value": value}))}
    )


def _with_trust(pset: PriorSet, alpha: float) -> PriorSet:
    """The prior set with the density of the report's error to a power."""
    sds = {name: getattr(pset.trust, name) / alpha**0.5 for name in ("base_log_sd", "final_log_sd")}
    return replace(pset, trust=pset.trust.model_copy(update=sds))


def _powered(prior: Prior, alpha: float, *, by_log: bool) -> Prior:
    if prior.sd == 0:
        return prior  # a fixed number
    if is_heavy(prior.family):
        raise InputError(f"{prior.name}: a Student-t to a power is none, so it cannot be fitted power-scaled")
    shift = prior.sd**2 * (1 - alpha) / alpha if prior.family == "lognormal" and not by_log else 0.0
    return replace(prior, mu=prior.mu + shift, sd=prior.sd / alpha**0.5, low=None, high=None, coverage=None)


# ---- sensitivity ---------------------------------------------------------------------------------------------------


def cjs_distance(values: Array, weights: Array) -> Array:
    """Cumulative Jensen-Shannon distance between weighted draws and the same draws unweighted, normalised to [0, 1].

    The larger one of the distance between distribution functions and that between survival functions, so that the
    sign of the quantity does not matter (Kallioinen et al. 2024; Nguyen & Vreeken 2015). NaN where the draws do not
    vary. Parameters: `values` [draw]; `weights` [draw, n], columns that sum to one. Returns [n].
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

    Parameters: `values` [draw]; `low` and `high` [draw, n], weights at the two `DERIVATIVE_ALPHAS`. Returns [n]; above
    0.05 the paper calls a posterior sensitive.
    """
    distances = (cjs_distance(values, weights) for weights in (low, high))
    per_doubling = [d / abs(np.log2(alpha)) for d, alpha in zip(distances, DERIVATIVE_ALPHAS, strict=True)]
    return np.asarray(np.mean(per_doubling, axis=0))


def headline_quantities(run: DataTree, pset: PriorSet) -> dict[str, DataArray]:
    """The quantities examined by default: total revenue at the anchors, its growth, modalities in the last year.

    Returns [chain, draw] by name, revenue in millions.
    """
    posterior, anchors = run["posterior"].to_dataset(), pset.ledger.report.anchors
    total, last = posterior[v.REVENUE_TOTAL], posterior[v.REVENUE].sel(year=anchors[-1]).sum(("region", "depth"))
    out = {f"revenue {year}": total.sel(year=year) for year in anchors}
    growth = (total.sel(year=anchors[-1]) / total.sel(year=anchors[0])) ** (1 / (anchors[-1] - anchors[0])) - 1
    out["growth a year"] = growth
    out |= {f"{m.name} {anchors[-1]}": last.sel(modality=m.name) for m in pset.ledger.modalities}
    return {name: draws.reset_coords(drop=True) for name, draws in out.items()}


def power_scaling(quantities: Mapping[str, DataArray], log_densities: Mapping[str, DataArray]) -> pd.DataFrame:
    """Power-scaling sensitivity of every quantity to every group.

    Parameters: `quantities` and `log_densities` (:func:`components`), each [chain, draw] by name; of more than
    `PSI_DRAWS` draws that many are taken, evenly spaced. Returns one row per pair: `psi`, NaN where refused, and its
    Monte-Carlo error `psi_se`; `noise`, a line that the psi of unrelated draws (made by shifting draws and densities
    against each other) crosses so rarely that in all `comparisons` together one is above it with chance `FALSE_ALARM`;
    whether psi is `clear`: above that line, and by `PSI_ERRORS` errors above what unrelated draws give; `slope`,
    the derivative of the quantity's mean by log2(alpha) in its posterior sds, and its Monte-Carlo error `se`; `sign`,
    + where counting the group more raises the mean, - where it lowers it, 0 within two errors; `spread`, the
    derivative of the log of its sd; `k_low` and `k_high`, Pareto k at the two alphas; `draws`; `refused`, the reason
    where there is no number.
    """
    draws_of, log_of = _same_draws(quantities), _same_draws(log_densities)
    weights = {group: [reweight((a - 1) * log) for a in DERIVATIVE_ALPHAS] for group, log in log_of.items()}
    usable = [group for group, pair in weights.items() if not any(w.refused for w in pair)]
    low, high = (
        np.stack([weights[group][side].values for group in usable], axis=-1)
        if usable
        else np.empty((*next(iter(draws_of.values())).shape, 0))
        for side in (0, 1)
    )
    rows, comparisons = [], len(usable) * sum(bool(np.ptp(values) > 0) for values in draws_of.values())
    for quantity, values in draws_of.items():
        varies = np.ptp(values) > 0
        by_group = (
            dict(zip(usable, zip(*_psi_and_noise(values, low, high, comparisons), strict=True), strict=True))
            if varies
            else {}
        )
        for group, log in log_of.items():
            at_low, at_high = weights[group]
            numbers = dict.fromkeys(("psi", "psi_se", "noise", "usual", "slope", "se", "spread"), np.nan)
            if group in by_group:
                numbers = dict(zip(numbers, (*by_group[group], *_derivatives(values, log)), strict=True))
            rows.append(
                {
                    "group": group,
                    "quantity": quantity,
                    **{name: numbers[name] for name in ("psi", "psi_se", "noise")},
                    "clear": numbers["psi"] > max(numbers["noise"], numbers["usual"] + PSI_ERRORS * numbers["psi_se"]),
                    "comparisons": comparisons,
                    **{name: numbers[name] for name in ("slope", "se")},
                    "sign": _sign(numbers["slope"], numbers["se"]),
                    "spread": numbers["spread"],
                    "k_low": at_low.k,
                    "k_high": at_high.k,
                    "draws": values.size,
                    "refused": at_low.refused or at_high.refused or ("" if varies else "the quantity does not vary"),
                }
            )
    return pd.DataFrame(rows)


def shifts(
    quantities: Mapping[str, DataArray],
    log_densities: Mapping[str, DataArray],
    alphas: Sequence[float] = SHIFT_ALPHAS,
) -> pd.DataFrame:
    """Mean, sd and quantiles of every quantity when each group counts `alpha` times.

    Parameters as for :func:`power_scaling`. Returns one row for each group, quantity and alpha (alpha = 1: as it is),
    with Pareto `k`, the effective sample size `ess` of the weights and, where there is no number, `refused`.
    """
    draws_of, log_of = _same_draws(quantities), _same_draws(log_densities)
    rows = []
    for group, log in log_of.items():
        for alpha in sorted({1.0, *alphas}):
            weights = reweight((alpha - 1) * log)
            quality = {"k": weights.k, "ess": weights.ess, "draws": log.size, "refused": weights.refused}
            for quantity, values in draws_of.items():
                estimates = weighted_summary(values, weights.values)
                rows.append({"group": group, "quantity": quantity, "alpha": alpha, **estimates, **quality})
    return pd.DataFrame(rows)


def _same_draws(by_name: Mapping[str, DataArray]) -> dict[str, Array]:
    """Arrays [chain, draw] of at most `PSI_DRAWS` draws, the same ones of each."""
    out = {}
    for name, draws in by_name.items():
        values = np.asarray(draws.transpose(*SAMPLE).values, dtype=float)
        chains, length = values.shape
        keep = max(1, PSI_DRAWS // chains)
        out[name] = values if length <= keep else values[:, np.arange(keep) * length // keep]
    return out


def _psi_and_noise(values: Array, low: Array, high: Array, comparisons: int) -> tuple[Array, Array, Array, Array]:
    """Psi of every group, its error, the noise line, and the usual psi of unrelated draws, each [group].

    Rotating the draws within their chains leaves each side as autocorrelated as it is and unrelated to the other. Their
    psi are skewed and close to log-normal, of which the line is a quantile. The error is a jackknife's: where a few
    draws make all of psi, as with densities of long tails, rotations do not see it.
    """
    length = values.shape[1]
    steps = [0, *(length * np.arange(1, ROTATIONS + 1) // (ROTATIONS + 1))]
    rotated = (
        np.concatenate([np.roll(w, s, axis=1).reshape(values.size, -1) for s in steps], axis=1) for w in (low, high)
    )
    psis = psi(values.ravel(), *rotated).reshape(len(steps), -1)
    logs = np.log(np.maximum(psis[1:], SMALLEST_PSI))
    line = np.exp(logs.mean(axis=0) + ndtri(1 - FALSE_ALARM / max(1, comparisons)) * logs.std(axis=0, ddof=1))
    flat, sides = values.ravel(), [w.reshape(values.size, -1) for w in (low, high)]
    parts = []
    for block in np.array_split(np.arange(values.size), PSI_BLOCKS):
        left = np.delete(np.arange(values.size), block)
        parts.append(psi(flat[left], *(w[left] / w[left].sum(axis=0) for w in sides)))
    return psis[0], np.sqrt(np.var(parts, axis=0) * (PSI_BLOCKS - 1)), line, psis[1:].mean(axis=0)


def _derivatives(values: Array, log: Array) -> tuple[float, float, float]:
    """Derivative of the mean by log2(alpha), in posterior sds, its Monte-Carlo error, and that of the log of the sd."""
    z, centred = (values - values.mean()) / values.std(), np.log(2) * (log - log.mean())
    error = mcse_mean(z * centred)
    return float((z * centred).mean()), error, float((z**2 * centred).mean() / 2)


def _sign(slope: float, error: float) -> str:
    """The sign of a slope, 0 within `SIGN_ERRORS` of its errors, empty where it has no value."""
    if np.isnan(slope):
        return ""
    return "0" if abs(slope) < SIGN_ERRORS * error else "+" if slope > 0 else "-"
