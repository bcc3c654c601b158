"""The model with the outcomes that many refits are compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet

if TYPE_CHECKING:  # the names are read where no model is built
    import pymc as pm


def outcome_model(pset: PriorSet) -> pm.Model:
    """The model of a prior set with revenue by modality at each anchor [modality on the market by then] beside it.

    A modality before its launch is left out: a constant has no R-hat, and would fail the gate.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from postcgrp.models.market import build_model

    model, years = build_model(pset), list(pset.ledger.years)
    labels = outcome_coords(pset)
    modalities = list(pset.ledger.segments["modality"])
    with model:
        model.add_coords(labels)
        for anchor in pset.ledger.report.anchors:
            launched = [modalities.index(name) for name in labels[on_market(anchor)]]
            cells = model[v.REVENUE][years.index(anchor)].sum(axis=(0, 1))[pt.as_tensor(launched)]
            pm.Deterministic(by_modality(anchor), cells, dims=on_market(anchor))
    return model


def outcome_coords(pset: PriorSet) -> dict[str, list[str]]:
    """The labels of the dims of :func:`by_modality`."""
    modalities = pset.ledger.modalities
    return {
        on_market(anchor): [m.name for m in modalities if anchor in pset.anchors(m)]
        for anchor in pset.ledger.report.anchors
    }


def by_modality(anchor: int) -> str:
    """The name of the variable that holds one anchor's revenue by modality."""
    return f"revenue_modality_{anchor}"


def on_market(anchor: int) -> str:
    """The name of the dimension of :func:`by_modality`: the modalities on the market by then."""
    return f"modality_{anchor}"
