"""Intensity: spend per treated patient-year, with revenue at the anchors as the free quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, draw_on_link, hyper, hyperparameters, variable
from postcgrp.models.shapes import gradient, interpolation, pinned_walk
from postcgrp.models.uptake import Uptake
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MILLION


def relative_intensity(pset: PriorSet, patients: TensorVariable) -> TensorVariable:
    """Spend per user relative to a common level [region, depth, modality]; never falling with depth.

    A region's premium is common to its modalities up to small deviations. A launched procedure has one price at
    every depth. Parameters: `patients` [region, depth] of the base year.
    """
    spread = hyper(v.sd(v.REGION_PREMIUM_MODALITY), pset.number("region_premium_modality_sd"))
    deviations = spread * deviation(v.REGION_PREMIUM_MODALITY, "region", "modality")
    premium = region_premium(pset, patients, deviations)[:, None] + deviations
    graded = np.array([m.uptake != "launch" for m in pset.ledger.modalities], dtype=float)
    depth = gradient(variable(pset, v.INTENSITY_STEP), len(pset.ledger.depths))
    return pt.exp(premium[:, None, :] + depth[:, None] * graded)


def region_premium(pset: PriorSet, patients: TensorVariable, deviations: TensorVariable) -> TensorVariable:
    """Log premium of a region's spend per user over a common level [region].

    Where a region's share of revenue is in evidence, the free variable is not its premium but, to first order, the log
    of its value over that of all others. As with revenue this leaves the joint prior as it is, for the mean moves
    along; and the evidence is about this variable nearly alone. Parameters: `patients` [region, depth]; `deviations`
    [region, modality].
    """
    lead = v.lead_region(pset)
    if lead is None:
        return variable(pset, v.REGION_PREMIUM)
    mu, sd = hyperparameters(pset, v.REGION_PREMIUM)
    priors = pset.blocks[v.REGION_PREMIUM].priors
    rest = [r for r in range(len(priors)) if r != lead]
    counts = np.exp([p.mu for p in pset.blocks[v.REGION_PATIENTS].priors])
    value_rest = (counts * np.exp([p.mu for p in priors]))[rest]
    weight = hyper(v.REGION_VALUE_WEIGHT, value_rest / value_rest.sum(), ("region_rest",))
    others = draw_on_link(pset, v.REGION_PREMIUM, v.REGION_PREMIUM_REST, mu[rest], sd[rest], "region_rest")
    value = pt.log(patients.sum(axis=1)) + deviations @ hyper(v.MODALITY_VALUE_SHARE, _value_share(pset), ("modality",))
    shift = value[lead] - pt.dot(weight, value[rest] + others)
    leading = draw_on_link(pset, v.REGION_PREMIUM, v.REGION_VALUE_LEAD, mu[lead] + shift, sd[lead]) - shift
    premium = pt.concatenate([others[:lead], leading[None], others[lead:]])
    return pm.Deterministic(v.REGION_PREMIUM, premium, dims="region")


def _value_share(pset: PriorSet) -> NDArray[np.float64]:
    """Rough share of each modality in base-year revenue [modality], from prior medians."""
    value = []
    for modality, price in zip(pset.ledger.modalities, pset.blocks[v.PRICE].priors, strict=True):
        levels = pset.blocks.get(pset.own(v.ADOPTION_LEVEL, modality))
        use = 1.0 if levels is None else float(levels.priors[0].quantile(0.5))
        value.append(0.0 if modality.uptake == "launch" else use * float(price.quantile(0.5)))
    return np.array(value) / max(sum(value), 1e-12)


def log_prices(
    pset: PriorSet, treated: Mapping[int, TensorVariable], error: Sequence[TensorVariable] | None
) -> list[TensorVariable]:
    """Log of spend per treated patient-year (USD) at its anchors [anchor], by modality: a random walk over the anchors.

    The prior is `price` at a modality's first anchor and `price_growth` from there. For modalities already sold, the
    free variable at each anchor is the log of *revenue* (log treated + log price), as the report's vendor would state
    it (its shared error included). That changes nothing in the joint prior; but the evidence is sharp about stated
    revenue, so the posterior is nearly uncorrelated. About a launch the evidence is less sharp than the prior of its
    price, so there the price itself is free. Parameters: `treated`, patients [modality] by anchor; `error` [anchor],
    log, None without evidence.
    """
    anchors = pset.ledger.report.anchors
    log_price_mu, log_price_sd = hyperparameters(pset, v.PRICE)
    modalities = pset.ledger.modalities
    sold = [k for k, m in enumerate(modalities) if m.uptake != "launch"]
    growth = {k: hyperparameters(pset, v.price_growth(modalities[k])) for k in sold}
    walks: dict[int, list[TensorVariable]] = {k: [] for k in range(len(modalities))}
    for a, anchor in enumerate(anchors if sold else ()):
        span = anchor - anchors[a - 1]
        if a == 0:
            mu, sd = log_price_mu[sold], log_price_sd[sold]
        else:
            mu = pt.stack([walks[k][-1] + growth[k][0][a - 1] * span for k in sold])
            sd = pt.stack([growth[k][1][a - 1] * span for k in sold])
        of_sold = pt.stack([treated[anchor][k] for k in sold])
        shift = pt.log(of_sold / MILLION) + (0.0 if error is None else error[a])
        block = v.PRICE if a == 0 else v.price_growth(modalities[sold[0]])
        stated = draw_on_link(pset, block, v.stated_revenue(anchor), shift + mu, sd, v.sold(anchor))
        for i, k in enumerate(sold):
            walks[k].append((stated - shift)[i])
    for k, modality in enumerate(modalities):
        if modality.uptake == "launch":
            walks[k].append(draw_on_link(pset, v.PRICE, v.log_price(modality), log_price_mu[k], log_price_sd[k]))
            rates = variable(pset, v.price_growth(modality))
            for i, (start, end) in enumerate(pairwise(pset.anchors(modality))):
                walks[k].append(walks[k][-1] + rates[i] * (end - start))
    return [pt.stack(walk) for walk in walks.values()]


def price_path(pset: PriorSet, log_price: Sequence[TensorVariable]) -> TensorVariable:
    """Average spend per treated patient-year [year, modality], USD.

    Between the anchors the log price is interpolated, with yearly noise pinned to zero at the anchors; outside them
    it stays, with a free walk. Parameters: `log_price`, see :func:`log_prices`.
    """
    years, paths = pset.ledger.years, []
    for modality, walk in zip(pset.ledger.modalities, log_price, strict=True):
        on_market = pset.anchors(modality)
        noise = assumed(pset, v.price_noise(modality), "price_noise", modality=modality.name)
        z = deviation(v.standard(v.price_noise(modality)), f"free_year_{modality.key}")
        paths.append(interpolation(years, on_market) @ walk + noise * (pinned_walk(years, on_market) @ z))
    return pm.Deterministic(v.PRICE, pt.exp(pt.stack(paths, axis=1)), dims=("year", "modality"))


def price_in(
    pset: PriorSet, year: int, uptakes: Sequence[Uptake], log_price: Sequence[TensorVariable], price: TensorVariable
) -> TensorVariable:
    """:func:`price_path` in one year [modality], for the density: it keeps clear of the yearly noise where it can.

    At an anchor the price has no noise, and before a launch nobody pays it.
    """
    at, prices = year - pset.ledger.years[0], []
    for k, (modality, uptake, walk) in enumerate(zip(pset.ledger.modalities, uptakes, log_price, strict=True)):
        if year in (on_market := pset.anchors(modality)):
            prices.append(pt.exp(walk[on_market.index(year)]))
        else:
            prices.append(pt.ones(()) if at < uptake.first else price[at, k])
    return pt.stack(prices)


def intensity(
    uptakes: Sequence[Uptake], patients: TensorVariable, use: TensorVariable, price: TensorVariable, rel: TensorVariable
) -> TensorVariable:
    """Spend per treated patient-year [year, region, depth, modality], USD, whose treated average is the price.

    Before a launch nobody is treated, and the average is over those who could be. Parameters: `patients`
    [year, region, depth]; `use` [year, region, depth, modality]; `price` [year, modality]; `rel`
    [region, depth, modality].
    """
    eligible = pt.stack([u.eligible for u in uptakes], axis=-1)
    weights = patients[..., None] * pt.switch(pt.gt(use, 0), use, eligible)
    average = (weights * rel).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    return (price / average)[:, None, None, :] * rel
