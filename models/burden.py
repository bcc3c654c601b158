"""Burden: acute-medication use and, within it, medication-overuse headache; payer blocking beside them."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, ordered, variable
from postcgrp.models.shapes import gradient, redistribute
from postcgrp.priors import PriorSet

CERTAIN = 1 - 1e-6


def burden(pset: PriorSet, base: TensorVariable) -> dict[str, TensorVariable]:
    """Acute use and MOH [region, depth], fractions of patients, by name; each is there if the report claims it.

    MOH is never above acute use, and both rise with depth. Their patient-weighted means in the base year carry the
    report's ranges exactly; MOH is acute use times P(MOH | acute use). Parameters: `base` [region, depth], patients of
    the base year.
    """
    names = [prior.name for prior in pset.blocks[v.BURDEN_LEVEL].priors]
    level = ordered(pset, v.BURDEN_LEVEL)
    mean = {name: level[k] for k, name in enumerate(names)}
    spread = variable(pset, v.BURDEN_REGION_SD)

    def offset(name: str) -> TensorVariable:
        region = spread * deviation(v.by_region(name), "region")
        return region[:, None] + gradient(variable(pset, v.step(name)), len(pset.ledger.depths))

    cells = {}
    among, mean_among = base, pt.ones(())
    if v.ACUTE_USE in mean:
        cells[v.ACUTE_USE] = redistribute(mean[v.ACUTE_USE], among, offset(v.ACUTE_USE))
        among, mean_among = among * cells[v.ACUTE_USE], mean[v.ACUTE_USE]
    if v.MOH in mean:
        given = redistribute(pt.minimum(mean[v.MOH] / mean_among, CERTAIN), among, offset(v.MOH))
        cells[v.MOH] = cells[v.ACUTE_USE] * given if v.ACUTE_USE in cells else given
    return {name: pm.Deterministic(name, share, dims=("region", "depth")) for name, share in cells.items()}


def payer_block(pset: PriorSet) -> TensorVariable:
    """Share of patients with two or more denials [region], around the report's one figure."""
    level = variable(pset, v.PAYER_BLOCK_LEVEL)
    spread = assumed(pset, v.sd(v.PAYER_BLOCK_REGION))
    logit = pt.log(level / (1 - level)) + spread * deviation(v.PAYER_BLOCK_REGION, "region")
    return pm.Deterministic(v.PAYER_BLOCK, pm.math.sigmoid(logit), dims="region")
