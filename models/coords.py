"""The dimensions of the model and their labels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from postcgrp.models import variables as v
from postcgrp.models.correlated import joint_scores
from postcgrp.priors import PriorSet


def coords(pset: PriorSet) -> dict[str, Any]:
    """The labels of every dimension of the model, those of single variables included."""
    years, anchors = pset.ledger.years, pset.ledger.report.anchors
    out: dict[str, Any] = dict(pset.coords)
    if v.BURDEN_LEVEL in pset.blocks:
        out["burden"] = [prior.name for prior in pset.blocks[v.BURDEN_LEVEL].priors]
    sold = [m.name for m in pset.ledger.modalities if m.uptake != "launch"]
    out |= {v.sold(anchor): sold for anchor in anchors if sold}
    for modality in pset.ledger.modalities:
        m, on_market = modality.key, pset.anchors(modality)
        out[f"period_{m}"] = on_market[1:]
        out[f"free_year_{m}"] = [year for year in years if year not in on_market]
        out[v.anchor_dim(modality)] = on_market
        if modality.uptake == "adoption":
            for low, high in pairwise(pset.uptake_years(modality)):
                out[f"{v.path(pset, modality, high)}_year"] = list(range(low + 1, high + 1))
    for name, standard in (joint.standards if (joint := joint_scores(pset)) is not None else {}).items():
        cells = standard.cells.reshape(-1, standard.cells.shape[-1])
        moved = [standard.block.priors[k].name for k in cells[:, 0]]
        out |= dict.fromkeys(v.weights_dims(name, name), moved)
    if (lead := v.lead_row(pset)) is not None:
        out["region_rest"] = [region for region in pset.coords["region"] if region != lead.region]
    if pset.bounds:
        out[v.BOUNDED] = list(pset.bounds)
        out[v.BOUND_ROW] = [row.id for rows in pset.bounds.values() for row in rows]
    if pset.measured:
        out[v.EVIDENCE_ROW] = [row.id for row in pset.measured]
        out |= {v.source_year(pset, source): v.source_years(pset, source) for source in pset.sources}
    return {
        dim: labels
        for dim, labels in out.items()
        if len(labels) or not dim.startswith(("line", "launch", "displ", "priced"))
    }
