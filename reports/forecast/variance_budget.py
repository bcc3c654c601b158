"""The variance budget: from which unknowns the interval around a year's revenue comes.

Given the report's revenue the unknowns depend on each other (patients and price trade off against each other, and both
against the report's error), so Sobol indices would not add up. What a set of groups explains is the part of the
variance of log revenue that a regression on their inputs predicts in draws left out of the fit. A group's share is its
Shapley value: what it adds to what is known, averaged over every order in which the groups could become known (Owen
2014, SIAM/ASA JUQ 2, 245; Owen & Prieur 2017, JUQ 5, 986). Shares are never negative and, with what no regression
explains, add up to one.

Every group is a cause in the market's arithmetic. The report's error is none of them: it is what is left over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import comb

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.catalogue import LEFT_AT_SPEED, MIDYEAR
from postcgrp.priors.elicit import logit
from postcgrp.reports.forecast.summary import interval
from postcgrp.reports.runs.groups import group

Array = NDArray[np.float64]

JACKKNIFE_BLOCKS = 20  # of consecutive draws, each predicted from the others and left out in turn for standard errors
KNOT_QUANTILES = (0.1, 0.5, 0.9)  # of an input, where the regression on it bends
INTERVAL_WIDTH = 90  # per cent
RELATIVE_RIDGE = 1e-10
DRAWS_PER_INPUT = 15  # at least
UNATTRIBUTED = "interactions, not attributed"


def variance_budget(run: DataTree, pset: PriorSet, year: int | None = None) -> pd.DataFrame:
    """How much of the 90 % interval around a year's total revenue each group of unknowns accounts for.

    Parameters: `year`, by default the last. Returns one row per group, the largest first, and last what no sum of
    effects of single inputs explains. As fractions of the variance of log revenue, with standard errors `se`,
    `first_order_se` and `total_se`: `share`, the group's part, all of which add up to one; `first_order`, what would go
    if the group alone became known; `total`, what would stay if everything else became known. In `unit`: `half_width`,
    half of the interval's width times `share`; `half_width_if_known`, what would be left of it on average if the group
    alone became known. Raises :class:`InputError` for a year that the run does not have.
    """
    year = pset.ledger.years[-1] if year is None else year
    revenue = group(run)["revenue_total"]
    if year not in pset.ledger.years:
        raise InputError(f"year {year} is outside {pset.ledger.years[0]}..{pset.ledger.years[-1]}: name one inside")
    target = revenue.sel(year=year).transpose(*SAMPLE)
    shares = budget(np.log(target.values), inputs_by_group(run, pset, year))
    low, high = interval(target, INTERVAL_WIDTH)
    half = (high - low) / 2
    left = half * np.sqrt(1 - shares["first_order"].clip(0, 1))
    money = {"half_width": half * shares["share"], "half_width_if_known": left}
    return shares.assign(**money, unit=f"{pset.ledger.report.currency} million")


def inputs_by_group(run: DataTree, pset: PriorSet, year: int) -> dict[str, Array]:
    """The inputs of a year's revenue by group of unknowns, each [chain, draw, input], on scales that add up.

    Groups without a part in the year are left out: nothing is launched yet, and at an anchor there is no yearly noise.
    """
    posterior, ledger = group(run), pset.ledger
    people = posterior["patients"].sel(year=year)
    mix = people.sum("region") / people.sum(("region", "depth"))
    parts: dict[str, list[DataArray]] = {
        "patients": [_scaled(np.log, people.sum("depth"))],
        "failure depth": [_scaled(np.log, mix).isel(depth=slice(1, None))],
        "region structure": [_premium(posterior["intensity"].sel(year=year))],
    }
    lost = log_exclusivity(posterior, pset)
    if lost is not None:
        parts["exclusivity"] = [lost.sel(year=year)]
    noise: list[DataArray] = []
    for modality in ledger.modalities:
        price = _scaled(np.log, posterior["price"].sel(modality=modality.name))
        price = price if lost is None else price - lost.sel(modality=modality.name)
        smooth = _between(price, pset.anchors(modality), year)
        parts[f"price: {modality.name}"] = [smooth]
        noise.append(price.sel(year=year) - smooth)
        if modality.uptake != "everyone":
            users = (posterior["patients"] * posterior["use"].sel(modality=modality.name)).sum(("region", "depth"))
            rate = users / posterior["patients"].sum(("region", "depth"))
            if modality.uptake == "launch":
                parts[f"launch: {modality.name}"] = [rate.sel(year=year)]
                continue
            smooth = _between(rate, pset.uptake_years(modality), year)
            parts.setdefault("adoption", []).append(_scaled(logit, smooth))
            noise.append(_scaled(logit, rate.sel(year=year)) - _scaled(logit, smooth))
    for line in (line for line in ledger.lines if line.stage == "pipeline"):
        use = posterior["use_line"].sel(line=line.name, year=year)
        rate = (people * use).sum(("region", "depth")) / people.sum(("region", "depth"))
        parts[f"launch: {line.name}"] = [rate]
    if year not in ledger.report.anchors:
        parts["yearly noise"] = noise
    return {name: columns for name, members in parts.items() if (columns := _columns(members)).shape[-1]}


def budget(target: Array, inputs: Mapping[str, Array]) -> pd.DataFrame:
    """Shapley, first-order and total shares of the variance of a quantity, with block-jackknife standard errors.

    Parameters: `target` [chain, draw]; `inputs`, by group [chain, draw, input], each of which gets a natural cubic
    spline. What a set of groups explains is judged on draws left out of the fit, and is at least what any subset
    explains. Returns one row per group and one for `UNATTRIBUTED`. Raises :class:`InputError` with too few draws for so
    many inputs.
    """
    names = list(inputs)
    if target.size < (least := DRAWS_PER_INPUT * sum(part.shape[-1] for part in inputs.values())):
        raise InputError(f"{target.size} draws are too few for a variance budget: make the run with {least} or more")
    columns = [_splines(inputs[name].reshape(target.size, -1)) for name in names]
    owner = np.repeat(np.arange(len(names)), [c.shape[1] for c in columns])
    explained = _explained(np.concatenate(columns, axis=1), target.ravel(), owner, len(names))
    size = len(names)
    single = [1 << g for g in range(size)]
    parts, error = {}, {}
    for column, values in (
        ("share", np.concatenate([_shapley(explained, size), 1 - explained[:, [-1]]], axis=1)),
        ("first_order", explained[:, single]),
        ("total", 1 - explained[:, [(1 << size) - 1 - a for a in single]]),
    ):
        parts[column] = values[0]
        spread = values[1:] - values[1:].mean(axis=0)
        error[column] = np.sqrt((JACKKNIFE_BLOCKS - 1) / JACKKNIFE_BLOCKS * (spread**2).sum(axis=0))
    table = pd.DataFrame({"group": [*names, UNATTRIBUTED]})
    for column, label in (("share", "se"), ("first_order", "first_order_se"), ("total", "total_se")):
        padding = [np.nan] * (len(table) - len(parts[column]))
        table[column], table[label] = [*parts[column], *padding], [*error[column], *padding]
    order = [*table["share"][:-1].sort_values(ascending=False).index, len(names)]
    return table.loc[order].reset_index(drop=True)


def _explained(x: Array, y: Array, owner: NDArray[np.int_], groups: int) -> Array:
    """Share of variance that each set of groups explains [1 + _BLOCKS, set]: of all draws, and without each block.

    Sets are numbered by bits. A block is predicted from all others by least squares on Gram matrices.
    """
    design = np.column_stack([np.ones(len(y)), x, y - y.mean()])
    grams = np.stack([part.T @ part for part in np.array_split(design, JACKKNIFE_BLOCKS)])
    rest = grams.sum(axis=0) - grams
    errors = np.empty((JACKKNIFE_BLOCKS, 1 << groups))
    for members in range(1 << groups):
        keep = np.flatnonzero([True, *((members >> g) & 1 for g in owner)])
        others = rest[:, keep[:, None], keep]
        others = others + RELATIVE_RIDGE * others[:, :1, :1] * np.eye(len(keep))
        beta = np.linalg.solve(others, rest[:, keep, -1:])[..., 0]
        fitted = np.einsum("bi,bij,bj->b", beta, grams[:, keep[:, None], keep], beta)
        errors[:, members] = grams[:, -1, -1] - 2 * (beta * grams[:, keep, -1]).sum(axis=1) + fitted
    sums = np.concatenate([errors.sum(axis=0)[None], errors.sum(axis=0) - errors])
    explained: Array = 1 - sums / sums[:, :1]
    for g in range(groups):  # knowing more can be ignored if it does not help
        without = [s for s in range(1 << groups) if not (s >> g) & 1]
        with_it = [s | (1 << g) for s in without]
        explained[:, with_it] = np.maximum(explained[:, with_it], explained[:, without])
    return explained


def _shapley(explained: Array, groups: int) -> Array:
    """Shapley values [..., group] of what sets explain [..., set], sets numbered by bits."""
    out = np.zeros((*explained.shape[:-1], groups))
    for g in range(groups):
        for s in range(1 << groups):
            if not (s >> g) & 1:
                weight = 1 / (groups * comb(groups - 1, s.bit_count()))
                out[..., g] += weight * (explained[..., s | (1 << g)] - explained[..., s])
    return out


def _splines(columns: Array) -> Array:
    """Natural cubic spline basis with knots at `KNOT_QUANTILES` of each column [draw, input], standardised.

    Linear outside the knots. An input that has mass at one value, such as the sales of a launch that may fail or a loss
    of exclusivity that is still to come, whose knots then meet there, enters linearly beside the indicator of that
    value.
    """
    out = []
    for column in columns.T:
        z = (column - column.mean()) / column.std()
        low, *inner, high = knots = np.quantile(z, KNOT_QUANTILES)
        out.append(z)
        if low == z.min() or high == z.max() or np.min(np.diff(knots)) == 0:
            mass = max(knots, key=lambda knot: (z == knot).mean())
            out.append((z != mass).astype(float))
            continue
        last = (_cube(z, inner[-1]) - _cube(z, high)) / (high - inner[-1])
        out += [(_cube(z, k) - _cube(z, high)) / (high - k) - last for k in (low, *inner[:-1])]
    basis = np.column_stack(out)
    return np.asarray((basis - basis.mean(axis=0)) / basis.std(axis=0))


def _cube(z: Array, knot: float) -> Array:
    return np.asarray(np.maximum(z - knot, 0.0) ** 3)


def log_exclusivity(posterior: Dataset, pset: PriorSet) -> DataArray | None:
    """What losses of exclusivity do to a modality's price, log [chain, draw, year, modality]; None if nothing can.

    Against the same users and lines at the prices that exclusivity would have kept.
    """
    if v.LINE_EXCLUSIVITY_YEAR not in posterior:
        return None
    year, fall, speed = (
        posterior[name].rename(line_exclusive="line")
        for name in (v.LINE_EXCLUSIVITY_YEAR, v.LINE_EXCLUSIVITY_FALL, v.LINE_EXCLUSIVITY_SPEED)
    )
    since = (posterior["year"] + MIDYEAR - year).clip(min=0)
    kept = (1 + fall * np.expm1(-LEFT_AT_SPEED * since / speed)).reindex(line=posterior["line"], fill_value=1.0)
    revenue, out = posterior[v.REVENUE_LINE].sum("depth"), []
    for modality in pset.ledger.modalities:
        lines = [line.name for line in pset.ledger.lines_of(modality.name)]
        with_it = revenue.sel(line=lines).sum(("line", "region"))
        without = (revenue / kept).sel(line=lines).sum(("line", "region"))
        ratio = (with_it / without).where(without > 0, 1.0)
        out.append(_scaled(np.log, ratio).expand_dims(modality=[modality.name]))
    return xr.concat(out, "modality").transpose(*SAMPLE, "year", "modality")


def _premium(intensity: DataArray) -> DataArray:
    """Log ratio of what a user costs in each region to the first region [..., region - 1, modality], at one depth."""
    log = _scaled(np.log, intensity.isel(depth=0, drop=True))
    return log.isel(region=slice(1, None)) - log.isel(region=0, drop=True)


def _between(path: DataArray, anchors: list[int], year: int) -> DataArray:
    """A path's value in one year if it were linear between anchors and flat outside them."""
    weights = [float(np.interp(year, anchors, row)) for row in np.eye(len(anchors))]
    return (path.sel(year=anchors) * DataArray(weights, {"year": anchors}, "year")).sum("year")


def _scaled(link: Callable[[Array], Array], draws: DataArray) -> DataArray:
    return draws.copy(data=link(draws.values))


def _columns(parts: list[DataArray]) -> Array:
    """Parts [chain, draw, ...] side by side [chain, draw, input], without constants."""
    flat = [part.transpose(*SAMPLE, ...).values for part in parts]
    columns = [part.reshape(*part.shape[:2], -1) for part in flat]
    if not columns:
        return np.empty((0, 0, 0))
    joined = np.concatenate(columns, axis=-1)
    return np.asarray(joined[..., np.ptp(joined, axis=(0, 1)) > 0])
