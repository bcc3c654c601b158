"""The whole model: the parts put together, with named dimensions throughout."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models.burden import burden, payer_block
from postcgrp.models.evidence import Observed, evidence, source_dim, source_error, source_years
from postcgrp.models.intensity import MILLION, intensity, lead_region, log_prices, price, relative_intensity
from postcgrp.models.patients import patients
from postcgrp.models.uptake import Uptake, uptake
from postcgrp.priors import PriorSet

CELLS = ("year", "region", "depth", "modality")


def build_model(pset: PriorSet) -> pm.Model:
    """The generative model of one prior set; without evidence rows it is the bottom-up view.

    Deterministics (docs/model.md): `patients`, `depth_share`, `acute_use`, `moh`, `payer_block`, `adoption`,
    `adoption_mean`, `use`, `price`, `intensity`, `revenue`, `revenue_total`.
    """
    anchors, first = pset.ledger.report.anchors, pset.ledger.years[0]
    # Notes of where each node was made take longer to take than the nodes to make.
    with pytensor.config.change_flags(traceback__limit=0), pm.Model(coords=coords(pset)) as model:
        pool = patients(pset)
        drivers: dict[str, TensorVariable] = {}
        if "burden_level" in pset.blocks:
            drivers |= burden(pset, pool)
        if pset.has("payer_block"):
            drivers["payer_block"] = payer_block(pset)
        launches = {m.name: uptake(pset, m, drivers) for m in pset.modalities("launch")}
        launched = _launched(pset, pool, launches) if pset.settings.adoption_scope == "with_launched" else None
        uptakes = [launches.get(m.name) or uptake(pset, m, drivers, launched) for m in pset.ledger.modalities]
        treated = pt.stack([u.treated(pool) for u in uptakes], axis=1)
        errors = {source: source_error(pset, source) for source in pset.sources}
        error = errors.get(pset.ledger.report.id)
        at_anchors = None if error is None else error[[source_years(pset).index(a) for a in anchors]]
        log_price = log_prices(pset, treated, at_anchors)
        spend = price(pset, log_price)
        relative = relative_intensity(pset, pool[0])

        def cells(years: list[int]) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
            use = pt.stack([u.use(pool, years) for u in uptakes], axis=-1)
            spend_per_user = intensity(uptakes, pool[years], use, spend[years], relative)
            return use, spend_per_user, pool[years][..., None] * use * spend_per_user / MILLION

        def totals(year: int) -> TensorVariable:
            # At an anchor the price has no noise: taking it from there spares the density all other years.
            known = [
                pt.exp(log_price[k][own.index(year + first)]) if year + first in own else spend[year, k]
                for k, own in enumerate(map(pset.anchors, pset.ledger.modalities))
            ]
            return treated[year] * pt.stack(known) / MILLION

        use, spend_per_user, revenue = cells(list(range(len(pset.ledger.years))))
        for k, modality in enumerate(pset.ledger.modalities):
            if modality.uptake == "adoption":
                mean = (pool * use[..., k]).sum(axis=(1, 2)) / pool.sum(axis=(1, 2))
                pm.Deterministic(pset.own("adoption", modality), use[..., k], dims=CELLS[:3])
                pm.Deterministic(pset.own("adoption_mean", modality), mean, dims="year")
        pm.Deterministic("use", use, dims=CELLS)
        pm.Deterministic("intensity", spend_per_user, dims=CELLS)
        pm.Deterministic("revenue", revenue, dims=CELLS)
        pm.Deterministic("revenue_total", revenue.sum(axis=(1, 2, 3)), dims="year")
        if pset.evidence:
            observed = Observed(
                revenue=lambda year: cells([year])[2][0],
                totals=totals,
                patients=lambda year: pool[year],
                use=lambda year: cells([year])[0][0],
                mean_use=lambda year: treated[year] / pool[year].sum(),
                shares=drivers,
            )
            evidence(pset, errors, observed)
    return model


def _launched(pset: PriorSet, pool: TensorVariable, launches: Mapping[str, Uptake]) -> TensorVariable:
    """Share of patients [anchor] who had a launched procedure by then, a procedure being once in a life."""
    procedures = sum(launch.treated(pool) for launch in launches.values())
    years = [pset.ledger.years.index(anchor) for anchor in pset.ledger.report.anchors]
    return pt.cumsum(procedures)[years] / pool.sum(axis=(1, 2))[years]


def coords(pset: PriorSet) -> dict[str, Any]:
    """Every coordinate of the model, those of single variables included."""
    years, anchors = pset.ledger.years, pset.ledger.report.anchors
    out: dict[str, Any] = dict(pset.coords)
    if "burden_level" in pset.blocks:
        out["burden"] = [prior.name for prior in pset.blocks["burden_level"].priors]
    sold = [m.name for m in pset.ledger.modalities if m.uptake != "launch"]
    out |= {f"sold_{anchor}": sold for anchor in anchors if sold}
    for modality in pset.ledger.modalities:
        m, own = modality.key, pset.anchors(modality)
        out[f"period_{m}"] = own[1:]
        out[f"free_year_{m}"] = [year for year in years if year not in own]
        if modality.uptake == "launch":
            out[f"anchor_{m}"] = own
        if modality.uptake != "everyone":
            for low, high in pairwise(pset.uptake_years(modality)):
                name = pset.own(f"{modality.uptake}_path_{high}", modality)
                out[f"{name}_year"] = list(range(low + 1, high + 1))
    if (lead := lead_region(pset)) is not None:
        out["region_rest"] = [r for i, r in enumerate(pset.coords["region"]) if i != lead]
    if pset.evidence:
        out["evidence_row"] = [row.id for row in pset.evidence]
        out |= {source_dim(pset, source): source_years(pset, source) for source in pset.sources}
    return out
