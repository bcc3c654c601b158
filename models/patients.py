"""Patients: a pool by region, split by failure depth, with growth by period and a mix that may drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, from_standard, variable
from postcgrp.models.structure import stated_years
from postcgrp.priors import PriorSet


def depth_shares(pset: PriorSet) -> TensorVariable:
    """Share of each failure depth in the first year [region, depth], partially pooled; rows sum to one."""
    log_weight = pt.log(variable(pset, v.DEPTH_WEIGHT))
    spread = variable(pset, v.DEPTH_WEIGHT_REGION_SD)
    weights = pt.exp(log_weight + spread * deviation(v.DEPTH_WEIGHT_REGION, "region", "depth"))
    shares = weights / weights.sum(axis=-1, keepdims=True)
    return pm.Deterministic(v.DEPTH_SHARE, shares, dims=("region", "depth"))


@dataclass(frozen=True)
class PatientPool:
    """Actively treated patients as graphs.

    `stated` [region], in the year in which the report states each region; `growth` [period, region], log a year between
    anchors; `shares` [region, depth], in the first year; `drift`, log odds of one more failure a year.
    """

    pset: PriorSet
    stated: TensorVariable
    growth: TensorVariable
    shares: TensorVariable
    drift: TensorVariable

    def patients(self, years: Sequence[int]) -> TensorVariable:
        """Patients [len(years), region, depth] in calendar years."""
        report, regions = self.pset.ledger.report, stated_years(self.pset)
        since = np.subtract(years, report.first_year)
        passed = _passed(years, report.anchors)[:, None, :] - _passed(regions, report.anchors)
        by_region = self.stated * pt.exp((passed * self.growth.T).sum(axis=-1))
        tilt = pt.exp(self.drift * np.multiply.outer(since, np.arange(len(self.pset.ledger.depths))))
        mix = self.shares * tilt[:, None, :]
        return by_region[:, :, None] * mix / mix.sum(axis=-1, keepdims=True)


def _passed(years: Sequence[int], anchors: Sequence[int]) -> NDArray[np.float64]:
    """Years spent in each period between anchors since the first [year, period]."""
    low, high = np.array(anchors[:-1]), np.array(anchors[1:])
    return np.asarray(np.clip(np.subtract.outer(years, low), 0, high - low), dtype=float)


def patient_pool(pset: PriorSet) -> PatientPool:
    """The pool of patients: regional counts x common error x growth x depth mix."""
    stated = variable(pset, v.REGION_PATIENTS) * pt.exp(variable(pset, v.POOL_ERROR))
    spread = assumed(pset, v.sd(v.PATIENT_GROWTH_REGION))
    common = from_standard(pset, v.PATIENT_GROWTH, "period")
    growth = common[:, None] + spread * deviation(v.PATIENT_GROWTH_REGION, "region")
    return PatientPool(pset, stated, growth, depth_shares(pset), from_standard(pset, v.DEPTH_DRIFT))
