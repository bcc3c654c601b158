"""The model with the outcomes that many refits are compared by."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt

from postcgrp.models import variables as v
from postcgrp.models.market import build_model
from postcgrp.priors import PriorSet


def outcome_model(pset: PriorSet) -> pm.Model:
    """The model of a prior set with revenue by modality at each anchor [modality on the market by then] beside it.

    A modality before its launch is left out: a constant has no R-hat, and would fail the gate.
    """
    model, years = build_model(pset), pset.ledger.years
    with model:
        for anchor in pset.ledger.report.anchors:
            launched = [k for k, m in enumerate(pset.ledger.modalities) if anchor in pset.anchors(m)]
            model.add_coord(on_market(anchor), [pset.ledger.modalities[k].name for k in launched])
            cells = model[v.REVENUE][years.index(anchor)].sum(axis=(0, 1))[pt.as_tensor(launched)]
            pm.Deterministic(by_modality(anchor), cells, dims=on_market(anchor))
    return model


def by_modality(anchor: int) -> str:
    """The name of the variable that holds one anchor's revenue by modality."""
    return f"revenue_modality_{anchor}"


def on_market(anchor: int) -> str:
    """The name of the dimension of :func:`by_modality`: the modalities on the market by then."""
    return f"modality_{anchor}"
