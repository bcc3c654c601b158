"""Patients: a pool by region, split by failure depth, with slow growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, variable
from postcgrp.models.structure import stated_years
from postcgrp.priors import PriorSet


def depth_shares(pset: PriorSet) -> TensorVariable:
    """Share of each failure depth [region, depth], partially pooled across regions; rows sum to one."""
    log_weight = pt.log(variable(pset, v.DEPTH_WEIGHT))
    spread = variable(pset, v.DEPTH_WEIGHT_REGION_SD)
    weights = pt.exp(log_weight + spread * deviation(v.DEPTH_WEIGHT_REGION, "region", "depth"))
    shares = weights / weights.sum(axis=-1, keepdims=True)
    return pm.Deterministic(v.DEPTH_SHARE, shares, dims=("region", "depth"))


def patients(pset: PriorSet) -> Callable[[Sequence[int]], TensorVariable]:
    """Actively treated patients: regional counts x common error x growth x depth share.

    Returns a function of calendar years, to the patients [len(years), region, depth] in them.
    """
    base = variable(pset, v.REGION_PATIENTS) * pt.exp(variable(pset, v.POOL_ERROR))
    spread = assumed(pset, v.sd(v.PATIENT_GROWTH_REGION), "patient_growth_region_sd")
    growth = variable(pset, v.PATIENT_GROWTH) + spread * deviation(v.PATIENT_GROWTH_REGION, "region")
    shares = depth_shares(pset)

    def within(years: Sequence[int]) -> TensorVariable:
        by_region = base * pt.exp(np.subtract.outer(years, stated_years(pset)) * growth)
        return by_region[:, :, None] * shares

    return within
