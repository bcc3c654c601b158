"""Burden: acute-medication use and, within it, medication-overuse headache; payer blocking beside them."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper, ordered, variable
from postcgrp.models.shapes import gradient, redistribute
from postcgrp.priors import PriorSet

CERTAIN = 1 - 1e-6


def burden(pset: PriorSet, base: TensorVariable) -> dict[str, TensorVariable]:
    """Acute use and MOH [region, depth], fractions of patients; MOH never above acute use, both rising with depth.

    Their patient-weighted means in the base year carry the report's ranges exactly; MOH is acute use times
    P(MOH | acute use). Each is there if the report has it.
    """
    names = [prior.name for prior in pset.blocks["burden_level"].priors]
    level = ordered(pset, "burden_level")
    mean = {name: level[k] for k, name in enumerate(names)}
    spread = variable(pset, "burden_region_sd")

    def offset(name: str) -> TensorVariable:
        region = spread * deviation(f"{name}_region", "region")
        return region[:, None] + gradient(variable(pset, f"{name}_step"), len(pset.ledger.depths))

    out = {}
    among, of = base, pt.ones(())
    if "acute_use" in mean:
        out["acute_use"] = redistribute(mean["acute_use"], among, offset("acute_use"))
        among, of = among * out["acute_use"], mean["acute_use"]
    if "moh" in mean:
        given = redistribute(pt.minimum(mean["moh"] / of, CERTAIN), among, offset("moh"))
        out["moh"] = out["acute_use"] * given if "acute_use" in out else given
    return {name: pm.Deterministic(name, share, dims=("region", "depth")) for name, share in out.items()}


def payer_block(pset: PriorSet) -> TensorVariable:
    """Share of patients with two or more denials [region], around the report's one figure."""
    level = variable(pset, "payer_block_level")
    spread = hyper("payer_block_region_sd", pset.number("payer_block_region_sd"))
    logit = pt.log(level / (1 - level)) + spread * deviation("payer_block_region", "region")
    return pm.Deterministic("payer_block", pm.math.sigmoid(logit), dims="region")
