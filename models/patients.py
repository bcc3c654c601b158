"""Patients: a pool by region, split by failure depth, with slow growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper, variable
from postcgrp.priors import PriorSet


def depth_shares(pset: PriorSet) -> TensorVariable:
    """Share of each failure depth [region, depth], partially pooled across regions; rows sum to one."""
    log_weight = pt.log(variable(pset, "depth_weight"))
    spread = variable(pset, "depth_weight_region_sd")
    weights = pt.exp(log_weight + spread * deviation("depth_weight_region", "region", "depth"))
    shares = weights / weights.sum(axis=-1, keepdims=True)
    return pm.Deterministic("depth_share", shares, dims=("region", "depth"))


def stated_years(pset: PriorSet) -> list[int]:
    """The year of each region's count, which is the first year unless the report names another."""
    said = {c.region: c.year for c in pset.ledger.claims if (c.role, c.quantity) == ("prior", "patients")}
    return [said[str(region)] or pset.ledger.report.first_year for region in pset.coords["region"]]


def patients(pset: PriorSet) -> Callable[[Sequence[int]], TensorVariable]:
    """Actively treated patients: regional counts x common error x growth x depth share.

    Returns a function of calendar years, to the patients [len(years), region, depth] in them.
    """
    base = variable(pset, "region_patients") * pt.exp(variable(pset, "pool_error"))
    spread = hyper("patient_growth_region_sd", pset.number("patient_growth_region_sd"))
    growth = variable(pset, "patient_growth") + spread * deviation("patient_growth_region", "region")
    shares = depth_shares(pset)

    def within(years: Sequence[int]) -> TensorVariable:
        by_region = base * pt.exp(np.subtract.outer(years, stated_years(pset)) * growth)
        return by_region[:, :, None] * shares

    return within
