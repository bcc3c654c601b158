"""Burden: acute-medication use and, within it, medication-overuse headache; payer blocking beside them."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper, ordered, variable
from postcgrp.models.shapes import gradient, redistribute
from postcgrp.priors import PriorSet

CERTAIN = 1 - 1e-6


def burden(pset: PriorSet, patients: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
    """Acute use and MOH [region, depth], fractions of patients; MOH never above acute use, both rising with depth.

    Their patient-weighted means in the base year carry the report's ranges exactly; MOH is acute use times
    P(MOH | acute use).
    """
    moh_mean, acute_mean = ordered(pset, "burden_level")
    spread = variable(pset, "burden_region_sd")

    def offset(name: str) -> TensorVariable:
        region = spread * deviation(f"{name}_region", "region")
        return region[:, None] + gradient(variable(pset, f"{name}_step"), len(pset.ledger.depths))

    acute = redistribute(acute_mean, patients[0], offset("acute_use"))
    given_acute = pt.minimum(moh_mean / acute_mean, CERTAIN)
    moh = acute * redistribute(given_acute, patients[0] * acute, offset("moh"))
    dims = ("region", "depth")
    return pm.Deterministic("acute_use", acute, dims=dims), pm.Deterministic("moh", moh, dims=dims)


def payer_block(pset: PriorSet) -> TensorVariable:
    """Share of patients with two or more denials [region], around the report's one figure."""
    level = variable(pset, "payer_block_level")
    spread = hyper("payer_block_region_sd", pset.number("payer_block_region_sd"))
    logit = pt.log(level / (1 - level)) + spread * deviation("payer_block_region", "region")
    return pm.Deterministic("payer_block", pm.math.sigmoid(logit), dims="region")
