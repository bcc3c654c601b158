"""Intensity: spend per treated patient-year, with revenue at the anchors as the free quantity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.cells import MarketCells
from postcgrp.models.latent import assumed, deviation, draw_on_link, hyper, hyperparameters, variable
from postcgrp.models.shapes import gradient, interpolation, pinned_walk
from postcgrp.priors import PriorSet
from postcgrp.priors.ledger import Modality


def relative_intensity(pset: PriorSet, cells: MarketCells, years: Sequence[int]) -> TensorVariable:
    """Spend per user relative to what its lines cost, or to a common level [region, depth, modality].

    It never falls with depth. A region's premium is common to its modalities up to small deviations. A launched
    procedure has one price at every depth. Parameters: `cells`, the market of some `years` without it.
    """
    deviations = hyper(v.sd(v.REGION_PREMIUM_MODALITY)) * deviation(v.REGION_PREMIUM_MODALITY, "region", "modality")
    premium = region_premium(pset, cells, years, deviations)[:, None] + deviations
    graded = np.array([m.uptake != "launch" for m in pset.ledger.modalities], dtype=float)
    depth = gradient(variable(pset, v.INTENSITY_STEP), len(pset.ledger.depths))
    return pt.exp(premium[:, None, :] + depth[:, None] * graded)


def region_premium(
    pset: PriorSet, cells: MarketCells, years: Sequence[int], deviations: TensorVariable
) -> TensorVariable:
    """Log premium of a region's spend per user over a common level [region].

    Where a region's share of revenue is in evidence, the free variable is not its premium but nearly the log of its
    value over that of all others. As with revenue this leaves the joint prior as it is, for the mean moves along; and
    the evidence is about this variable nearly alone. Parameters: `cells` and `years`, see :func:`relative_intensity`;
    `deviations` [region, modality].
    """
    row = v.lead_row(pset)
    if row is None or row.region is None:
        return variable(pset, v.REGION_PREMIUM)
    lead = pset.coords["region"].index(row.region)
    mu, sd = hyperparameters(v.REGION_PREMIUM)
    rest = [r for r in range(len(pset.ledger.regions)) if r != lead]
    others = draw_on_link(pset, v.REGION_PREMIUM, v.REGION_PREMIUM_REST, mu[rest], sd[rest], "region_rest")
    at = [years.index(year) for year in (pset.ledger.report.anchors if row.year is None else [row.year])]
    spent = (cells.weights * cells.spend)[at].sum(axis=2)
    of_modality = (spent / spent.sum(axis=1, keepdims=True)).mean(axis=0)
    value = pt.log((of_modality * pt.exp(deviations)) @ hyper(v.MODALITY_VALUE_SHARE))
    shift = value[lead] - pt.log(pt.exp(value[rest] + others).sum())
    leading = draw_on_link(pset, v.REGION_PREMIUM, v.REGION_VALUE_LEAD, mu[lead] + shift, sd[lead]) - shift
    premium = pt.concatenate([others[:lead], leading[None], others[lead:]])
    return pm.Deterministic(v.REGION_PREMIUM, premium, dims="region")


def log_spend(
    pset: PriorSet, built: Callable[[int], TensorVariable], error: Callable[[int], TensorVariable] | None
) -> list[TensorVariable]:
    """Log of spend per user over what its lines cost, or of the price of a modality without lines, at anchors [anchor].

    By modality, a random walk over the anchors at which it is on the market. Without lines its prior is `price` at the
    first and `price_growth` from there; with lines it is what they leave out, `spend_residual_sd` at the first and
    `spend_residual_step_sd` from one to the next. For modalities already sold, the free variable at each anchor is the
    log of *revenue* as the report's vendor would state it (its errors included). That changes nothing in the joint
    prior; but the evidence is sharp about stated revenue, so the posterior is nearly uncorrelated. About a launch the
    evidence is less sharp than the prior of its price, so there the spend itself is free.

    Parameters: by anchor, `built`, revenue in millions if all of these were zero [modality], as the report sees
    launches, and `error`, the log error of stated revenue [modality], None without evidence.
    """
    anchors, modalities = pset.ledger.report.anchors, pset.ledger.modalities
    sold = [k for k, m in enumerate(modalities) if m.uptake != "launch"]
    steps = {k: _steps(pset, modality) for k, modality in enumerate(modalities)}
    walks: dict[int, list[TensorVariable]] = {k: [] for k in range(len(modalities))}
    priced = [modalities[k] for k in sold if modalities[k].name in pset.coords["priced"]]
    for a, anchor in enumerate(anchors if sold else ()):
        shift = pt.log(built(anchor)[sold]) + (0.0 if error is None else error(anchor)[sold])
        before = [walks[k][-1] if a else pt.zeros(()) for k in sold]
        mu = pt.stack([was + steps[k][a][0] for was, k in zip(before, sold, strict=True)]) + shift
        sd = pt.stack([pt.as_tensor(steps[k][a][1]) for k in sold])
        block = None if not priced else v.price_growth(priced[0]) if a else v.PRICE
        stated = draw_on_link(pset, block, v.stated_revenue(anchor), mu, sd, v.sold(anchor))
        for i, k in enumerate(sold):
            walks[k].append((stated - shift)[i])
    for k, modality in enumerate(modalities):
        if modality.uptake == "launch":
            walks[k] = _launched_walk(pset, modality, steps[k])
    return [pt.stack(walk) for walk in walks.values()]


def _steps(pset: PriorSet, modality: Modality) -> list[tuple[TensorVariable, TensorVariable]]:
    """Mean and sd of each step of a modality's walk, the first from zero, later ones over the years between anchors."""
    on_market = pset.anchors(modality)
    if modality.name not in pset.coords["priced"]:
        sds = hyper(v.spend_residual_sd(modality))
        return [(pt.zeros(()), sds[a]) for a in range(len(on_market))]
    at = pset.coords["priced"].index(modality.name)
    mu, sd = hyperparameters(v.PRICE)
    steps = [(mu[at], sd[at])]
    if len(on_market) > 1 and modality.uptake != "launch":  # a launch draws its growth itself
        rate, rate_sd = hyperparameters(v.price_growth(modality))
        spans = [end - start for start, end in pairwise(on_market)]
        steps += [(rate[i] * span, rate_sd[i] * span) for i, span in enumerate(spans)]
    return steps


def _launched_walk(
    pset: PriorSet, modality: Modality, steps: Sequence[tuple[TensorVariable, TensorVariable]]
) -> list[TensorVariable]:
    """The walk of a modality that is not sold yet, by its own free variables."""
    if modality.name not in pset.coords["priced"]:
        z = deviation(v.standard(v.spend_residual(modality)), v.anchor_dim(modality))
        walk = pt.cumsum(pt.stack([sd for _, sd in steps]) * z)
        return [walk[a] for a in range(len(steps))]
    walk = [draw_on_link(pset, v.PRICE, v.log_price(modality), *steps[0])]
    rates = variable(pset, v.price_growth(modality))
    for i, (start, end) in enumerate(pairwise(pset.anchors(modality))):
        walk.append(walk[-1] + rates[i] * (end - start))
    return walk


def spend_path(pset: PriorSet, log_spend: Sequence[TensorVariable]) -> TensorVariable:
    """:func:`log_spend` in every year [year, modality].

    Between the anchors it is interpolated, with yearly noise pinned to zero at the anchors; outside them it stays, with
    a free walk.
    """
    years, paths = pset.ledger.years, []
    for modality, walk in zip(pset.ledger.modalities, log_spend, strict=True):
        on_market = pset.anchors(modality)
        noise = assumed(pset, v.price_noise(modality))
        z = deviation(v.standard(v.price_noise(modality)), f"free_year_{modality.key}")
        paths.append(interpolation(years, on_market) @ walk + noise * (pinned_walk(years, on_market) @ z))
    return pt.stack(paths, axis=1)


def spend_in(pset: PriorSet, year: int, log_spend: Sequence[TensorVariable], path: TensorVariable) -> TensorVariable:
    """:func:`spend_path` in one year [modality], for the density, which keeps clear of the yearly noise where it can.

    An anchor has none, and before a launch next to nobody pays.
    """
    at, spends = year - pset.ledger.years[0], []
    observed = {year for row in pset.measured for year in row.years}
    for k, (modality, walk) in enumerate(zip(pset.ledger.modalities, log_spend, strict=True)):
        on_market = pset.anchors(modality)
        if year < on_market[0] and year not in observed - set(pset.ledger.report.anchors):
            spends.append(walk[0])
        else:
            spends.append(walk[on_market.index(year)] if year in on_market else path[at, k])
    return pt.stack(spends)
