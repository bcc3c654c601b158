"""The whole model: the parts put together, with named dimensions throughout."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.burden import burden, payer_block
from postcgrp.models.evidence import Observed, error_walk, evidence
from postcgrp.models.intensity import intensity, log_prices, price_in, price_path, relative_intensity
from postcgrp.models.patients import patients
from postcgrp.models.uptake import Uptake, uptake
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MILLION
from postcgrp.priors.segments import SEGMENTS


def build_model(pset: PriorSet) -> pm.Model:
    """The generative model of one prior set; without evidence rows it is the bottom-up view.

    Deterministics (docs/model.md): `patients`, `depth_share`, `acute_use`, `moh`, `payer_block`, `adoption`,
    `adoption_mean`, `use`, `price`, `intensity`, `revenue`, `revenue_total`.
    """
    years, anchors = pset.ledger.years, pset.ledger.report.anchors
    # Only these years enter the density, so its graph covers no others.
    near = sorted({*anchors, *(row.year for row in pset.evidence)})
    # Recording where each node was created costs more than creating it.
    with pytensor.config.change_flags(traceback__limit=0), pm.Model(coords=coords(pset)) as model:
        within = patients(pset)
        pool = pm.Deterministic(v.PATIENTS, within(years), dims=SEGMENTS[:3])
        pool_near = within(near)
        base = pool_near[near.index(years[0])]
        drivers: dict[str, TensorVariable] = {}
        if v.BURDEN_LEVEL in pset.blocks:
            drivers |= burden(pset, base)
        if pset.has("payer_block"):
            drivers[v.PAYER_BLOCK] = payer_block(pset)
        launches = {m.name: uptake(pset, m, drivers) for m in pset.modalities("launch")}
        launched = _launched(pset, pool, launches) if pset.settings.adoption_scope == "with_launched" else None
        uptakes = [launches.get(m.name) or uptake(pset, m, drivers, launched) for m in pset.ledger.modalities]
        at = [years.index(year) for year in near]
        treated_near = pt.stack([u.treated(pool_near, at) for u in uptakes], axis=1)
        treated = {year: treated_near[i] for i, year in enumerate(near)}
        errors = {source: error_walk(pset, source) for source in pset.sources}
        error = errors.get(pset.ledger.report.id)
        at_anchors = None if error is None else [error[v.source_years(pset).index(a)] for a in anchors]
        log_price = log_prices(pset, treated, at_anchors)
        spend = price_path(pset, log_price)
        relative = relative_intensity(pset, base)

        def cells(
            pool: TensorVariable, spend: TensorVariable, at: list[int]
        ) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
            """Use, spend per user and revenue [len(at), region, depth, modality] in the years of these indices."""
            use = pt.stack([u.use(pool, at) for u in uptakes], axis=-1)
            spend_per_user = intensity(uptakes, pool, use, spend, relative)
            return use, spend_per_user, pool[..., None] * use * spend_per_user / MILLION

        def spend_in(year: int) -> TensorVariable:
            return price_in(pset, year, uptakes, log_price, spend)

        def cells_in(year: int) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
            i = near.index(year)
            return cells(pool_near[i : i + 1], spend_in(year)[None], [years.index(year)])

        every = list(range(len(years)))
        use, spend_per_user, revenue = cells(pool, spend, every)
        treated_ever = pt.stack([u.treated(pool, every) for u in uptakes], axis=1)
        for k, modality in enumerate(pset.ledger.modalities):
            if modality.uptake == "adoption":
                pm.Deterministic(pset.own(v.ADOPTION, modality), use[..., k], dims=SEGMENTS[:3])
                mean = treated_ever[:, k] / pool.sum(axis=(1, 2))
                pm.Deterministic(pset.own(v.ADOPTION_MEAN, modality), mean, dims="year")
        pm.Deterministic(v.USE, use, dims=SEGMENTS)
        pm.Deterministic(v.INTENSITY, spend_per_user, dims=SEGMENTS)
        pm.Deterministic(v.REVENUE, revenue, dims=SEGMENTS)
        # The sum of all cells (tested), without them: posteriors that keep the total alone need not compute the cells.
        pm.Deterministic(v.REVENUE_TOTAL, (treated_ever * spend).sum(axis=1) / MILLION, dims="year")
        if pset.evidence:
            observed = Observed(
                revenue=lambda year: cells_in(year)[2][0],
                totals=lambda year: treated[year] * spend_in(year) / MILLION,
                patients=lambda year: pool_near[near.index(year)],
                use=lambda year: cells_in(year)[0][0],
                mean_use=lambda year: treated[year] / pool_near[near.index(year)].sum(),
                shares=drivers,
            )
            evidence(pset, errors, observed)
    return model


def _launched(pset: PriorSet, pool: TensorVariable, launches: Mapping[str, Uptake]) -> TensorVariable:
    """Share of patients [anchor] who had a launched procedure by then, a procedure being once in a life."""
    procedures = sum(launch.treated(pool, range(len(pset.ledger.years))) for launch in launches.values())
    years = [pset.ledger.years.index(anchor) for anchor in pset.ledger.report.anchors]
    return pt.cumsum(procedures)[years] / pool.sum(axis=(1, 2))[years]


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
        if modality.uptake == "launch":
            out[f"anchor_{m}"] = on_market
        if modality.uptake != "everyone":
            for low, high in pairwise(pset.uptake_years(modality)):
                out[f"{v.path(pset, modality, high)}_year"] = list(range(low + 1, high + 1))
    if (lead := v.lead_region(pset)) is not None:
        out["region_rest"] = [region for i, region in enumerate(pset.coords["region"]) if i != lead]
    if pset.evidence:
        out[v.EVIDENCE_ROW] = [row.id for row in pset.evidence]
        out |= {v.source_year(pset, source): v.source_years(pset, source) for source in pset.sources}
    return out
