"""Intensity: spend per treated patient-year, with revenue at the anchors as the free quantity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper, hyperparameters, variable
from postcgrp.models.shapes import bridge, gradient, interpolation
from postcgrp.models.uptake import Uptake
from postcgrp.priors import PriorSet

MILLION = 1e6


def relative_intensity(pset: PriorSet) -> TensorVariable:
    """Spend per user relative to a common level [region, depth, modality]; never falling with depth.

    A region's premium is common to its modalities up to small deviations. A launched procedure has one price at
    every depth.
    """
    spread = hyper("region_premium_modality_sd", pset.number("region_premium_modality_sd"))
    deviations = deviation("region_premium_modality", "region", "modality")
    premium = variable(pset, "region_premium")[:, None] + spread * deviations
    graded = np.array([m.uptake != "launch" for m in pset.ledger.modalities], dtype=float)
    depth = gradient(variable(pset, "intensity_step"), len(pset.ledger.depths))
    return pt.exp(premium[:, None, :] + depth[:, None] * graded)


def log_prices(pset: PriorSet, treated: TensorVariable, error: TensorVariable | None) -> list[TensorVariable]:
    """Log of spend per treated patient-year (USD) at the anchors of each modality: a random walk over the anchors.

    The prior is `price` at a modality's first anchor and `price_growth` from there. For modalities already sold, the
    free variable at each anchor is the log of *revenue* (log treated + log price), as the report's vendor would state
    it (its shared error included). That changes nothing in the joint prior; but stated revenue is what the evidence
    knows sharply, so the posterior is nearly uncorrelated. A launch is known less sharply by its evidence than by its
    price, so there the price itself is free. Parameters: `treated` [year, modality], patients; `error` [anchor], log,
    None without evidence.
    """
    anchors, first = pset.ledger.report.anchors, pset.ledger.years[0]
    log_price_mu, log_price_sd = hyperparameters(pset, "price")
    sold = [k for k, m in enumerate(pset.ledger.modalities) if m.uptake != "launch"]
    names = [m.name for m in pset.ledger.modalities]
    growth = {m: hyperparameters(pset, f"price_growth_{m}") for m in names}
    walks: dict[int, list[TensorVariable]] = {k: [] for k in range(len(names))}
    for a, anchor in enumerate(anchors if sold else ()):
        span = anchor - anchors[a - 1]
        if a == 0:
            mu, sd = log_price_mu[sold], log_price_sd[sold]
        else:
            mu = pt.stack([walks[k][-1] + growth[names[k]][0][a - 1] * span for k in sold])
            sd = pt.stack([growth[names[k]][1][a - 1] * span for k in sold])
        shift = pt.log(treated[anchor - first, sold] / MILLION) + (0.0 if error is None else error[a])
        stated = pm.Normal(f"log_stated_revenue_{anchor}", shift + mu, sd, dims=f"sold_{anchor}")
        for i, k in enumerate(sold):
            walks[k].append((stated - shift)[i])
    for k, modality in enumerate(pset.ledger.modalities):
        if modality.uptake == "launch":
            own = pset.anchors(modality)
            walks[k].append(pm.Normal(f"log_price_{modality.name}", log_price_mu[k], log_price_sd[k]))
            rates = pm.Normal(f"price_growth_{modality.name}", *growth[modality.name], dims=f"period_{modality.name}")
            for i, span in enumerate(np.diff(own)):
                walks[k].append(walks[k][-1] + rates[i] * int(span))
    return [pt.stack(walk) for walk in walks.values()]


def price(pset: PriorSet, log_price: Sequence[TensorVariable]) -> TensorVariable:
    """Average spend per treated patient-year [year, modality], USD.

    Between the anchors the log price is interpolated, with yearly noise pinned to zero at the anchors; outside them
    it stays, with a free walk. Parameters: `log_price`, see :func:`log_prices`.
    """
    years, paths = pset.ledger.years, []
    for modality, walk in zip(pset.ledger.modalities, log_price, strict=True):
        own = pset.anchors(modality)
        noise = hyper(f"price_noise_{modality.name}", pset.number("price_noise", modality=modality.name))
        z = deviation(f"price_noise_{modality.name}_z", f"free_year_{modality.name}")
        paths.append(interpolation(years, own) @ walk + noise * (bridge(years, own) @ z))
    return pm.Deterministic("price", pt.exp(pt.stack(paths, axis=1)), dims=("year", "modality"))


def intensity(
    uptakes: Sequence[Uptake], patients: TensorVariable, use: TensorVariable, price: TensorVariable, rel: TensorVariable
) -> TensorVariable:
    """Spend per treated patient-year [year, region, depth, modality], USD, whose treated average is the price.

    Before a launch nobody is treated, and the average is over those who could be. Parameters: `patients`
    [year, region, depth]; `use` [year, region, depth, modality]; `price` [year, modality]; `rel`
    [region, depth, modality].
    """
    eligible = np.stack([u.eligible for u in uptakes], axis=-1)
    weights = patients[..., None] * pt.switch(pt.gt(use, 0), use, eligible)
    average = (weights * rel).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    return (price / average)[:, None, None, :] * rel
