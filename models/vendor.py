"""One vendor, one method: what a report states of revenue follows its own patients and adoption."""

from __future__ import annotations

from collections.abc import Callable

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import from_standard
from postcgrp.models.patients import PatientPool
from postcgrp.models.shapes import interpolation
from postcgrp.priors import PriorSet


def log_build_up(pset: PriorSet, pool: PatientPool) -> Callable[[int], TensorVariable]:
    """How far the report's revenue lies from the truth because its patients and adoption do, log [modality], by year.

    A vendor that multiplies its own funnel states N' a' p'. So its revenue errs by minus `vendor_build_up` times the
    log of true over claimed patients and, where a modality is adopted, of true over claimed adoption, which at the
    anchors is the middle of the claim.
    """
    model, modalities = pm.modelcontext(None), pset.ledger.modalities
    strength = from_standard(pset, v.VENDOR_BUILD_UP)
    claimed = pt.exp(model[v.mu(v.REGION_PATIENTS)]).sum()
    of_pool = pt.log(pool.stated.sum()) - pt.log(claimed)
    at_anchors = {
        k: _log_surprise(model, v.level(pset, modality))
        for k, modality in enumerate(modalities)
        if modality.uptake == "adoption"
    }

    def by_year(year: int) -> TensorVariable:
        at = interpolation([year], pset.ledger.report.anchors)[0]
        beside = [(at_anchors[k] * at).sum() if k in at_anchors else pt.zeros(()) for k in range(len(modalities))]
        return -strength * (of_pool + pt.stack(beside))

    return by_year


def _log_surprise(model: pm.Model, level: str) -> TensorVariable:
    """Log of true over claimed adoption [anchor]; 0 where the claim is left out, as nobody claims anything then."""
    claimed = pt.sigmoid(model[v.mu(level)])
    return (1 - model[v.is_open(level)]) * (pt.log(model[level]) - pt.log(claimed))
