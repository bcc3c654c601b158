"""The whole model: the parts put together, with named dimensions throughout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.burden import burden, payer_block
from postcgrp.models.cells import MarketCells
from postcgrp.models.coords import coords
from postcgrp.models.evidence import Observed, error_walk, evidence
from postcgrp.models.intensity import log_spend, relative_intensity, spend_in, spend_path
from postcgrp.models.latent import give
from postcgrp.models.launch import Launches, launches
from postcgrp.models.lines import Lines, market_lines
from postcgrp.models.patients import PatientPool, patient_pool
from postcgrp.models.uptake import Adoption, Launched, adoption, launched
from postcgrp.models.vendor import log_build_up
from postcgrp.models.views import LaunchView, assumed_by_report, happening, measured
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MILLION
from postcgrp.priors.ledger import Modality
from postcgrp.priors.segments import SEGMENTS


@dataclass(frozen=True)
class Demand:
    """Patients, use and what lines cost, as graphs, before any spend is known.

    `uptakes` of the modalities that not everyone uses, by name; `views` of the launches, by name.
    """

    pset: PriorSet
    pool: PatientPool
    uptakes: Mapping[str, Adoption | Launched]
    lines: Lines | None
    launches: Launches | None
    views: Mapping[str, LaunchView | None]

    def cells(self, years: Sequence[int], view: LaunchView | None) -> MarketCells:
        """The market in calendar years; `view` may be None where nothing is launched."""
        patients = self.pool.patients(years)
        use = _use(self.pset, self.uptakes, patients, years, view)
        return self.assembled(patients, use, *self.by_line(years, use, view))

    def by_line(
        self, years: Sequence[int], use: TensorVariable, view: LaunchView | None
    ) -> tuple[TensorVariable | None, TensorVariable | None]:
        """Use of each line among its modality's users, and what these spend on it, [line, year, region, depth]."""
        if self.lines is None:
            return None, None
        pipeline = [str(name) for name in self.pset.coords["line_pipeline"]]
        risen = [pt.zeros((len(years), 1)) if view is None else view(name, years) for name in pipeline]
        line_use = self.lines.use(years, use, pt.stack(risen) if risen else pt.zeros((0, len(years), 1)))
        return line_use, self.lines.built(years, line_use)

    def assembled(
        self,
        patients: TensorVariable,
        use: TensorVariable,
        line_use: TensorVariable | None,
        by_line: TensorVariable | None,
    ) -> MarketCells:
        """The market of these patients, users and, by line, what they use and spend, see :meth:`by_line`."""
        built = _by_modality(self.pset, by_line, use)
        users, might_be = patients[..., None] * use, patients[..., None] * _eligible(self.pset, self.uptakes)
        weights = pt.switch(pt.eq(users.sum(axis=(1, 2), keepdims=True), 0), might_be, users)
        line_share = None if by_line is None else by_line / _of_line(self.pset, built)
        return MarketCells(patients, use, built, weights, line_use, line_share)


def build_model(pset: PriorSet) -> pm.Model:
    """The generative model of one prior set; without evidence rows it is the bottom-up view.

    Deterministics (docs/model.md): `patients`, `depth_share`, `acute_use`, `moh`, `payer_block`, `adoption`,
    `adoption_mean`, `use`, `price`, `intensity`, `revenue`, `revenue_total`, and with lines `use_line`, `revenue_line`
    and `persistence`.
    """
    years, report = list(pset.ledger.years), pset.ledger.report
    # Recording where each node was created costs more than creating it.
    with pytensor.config.change_flags(traceback__limit=0), pm.Model(coords=coords(pset)) as model:
        give(pset)
        market, drivers = demand(pset)
        views = market.views
        # Only these years enter the density, so its graph covers no others; all at once, which takes fewer operations.
        near = sorted({*report.anchors, *(year for row in pset.measured for year in row.years)})
        as_stated = market.cells(near, views[BY_REPORT])
        relative = relative_intensity(pset, as_stated, near)
        as_stated = as_stated.with_relative(relative)
        errors = {source: error_walk(pset, source) for source in pset.sources}
        by_report = log_build_up(pset, market.pool) if v.states_revenue(pset) else None
        walk = errors.get(report.id)

        built = (as_stated.users * as_stated.spend).sum(axis=(1, 2)) / MILLION

        def error(anchor: int) -> TensorVariable:
            funnel = pt.zeros(len(pset.ledger.modalities)) if by_report is None else by_report(anchor)
            return funnel if walk is None else funnel + walk[v.source_years(pset).index(anchor)]

        at_anchors = log_spend(pset, lambda anchor: built[near.index(anchor)], error if pset.measured else None)
        path = spend_path(pset, at_anchors)
        _forecast(pset, market.cells(years, views[HAPPENS]).with_relative(relative), path)
        if pset.measured:
            spend_near = pt.exp(pt.stack([spend_in(pset, year, at_anchors, path) for year in near]))[:, None, None]

            @cache
            def seen_by(source: str) -> Observed:
                by_others = source != report.id
                cells = market.cells(near, views[BY_OTHERS]).with_relative(relative) if by_others else as_stated
                return Observed(
                    years=near,
                    revenue=cells.users * cells.spend * spend_near / MILLION,
                    factor=by_report if source == report.id else None,
                    patients=cells.patients,
                    users=cells.users,
                    line_use=cells.line_use,
                    line_share=cells.line_share,
                    shares=drivers,
                    starts=None if market.launches is None else market.launches.year,
                    window=report.anchors,
                )

            evidence(pset, errors, lambda row: seen_by(row.source))
    return model


HAPPENS, BY_REPORT, BY_OTHERS = "happens", "by the report", "by others"


def demand(pset: PriorSet) -> tuple[Demand, dict[str, TensorVariable]]:
    """The market before any spend is known, and what moves adoption: burden and payer blocking, by name."""
    first = pset.ledger.report.first_year
    patients = patient_pool(pset)
    base = patients.patients([first])[0]
    drivers: dict[str, TensorVariable] = {}
    if v.BURDEN_LEVEL in pset.blocks:
        drivers |= burden(pset, base)
    if pset.has("payer_block"):
        drivers[v.PAYER_BLOCK] = payer_block(pset)
    launch = launches(pset)
    views: dict[str, LaunchView | None] = dict.fromkeys((HAPPENS, BY_REPORT, BY_OTHERS))
    uptakes: dict[str, Adoption | Launched] = {}
    if launch is not None:
        views = {
            HAPPENS: happening(launch),
            BY_REPORT: assumed_by_report(pset, launch),
            BY_OTHERS: measured(launch),
        }
        uptakes |= launched(pset, launch)
    had = _had_launched(pset, patients, uptakes, views[BY_REPORT])
    uptakes |= {m.name: adoption(pset, m, drivers, had) for m in pset.modalities("adoption")}
    base_use = _use(pset, {n: u for n, u in uptakes.items() if isinstance(u, Adoption)}, base[None], [first], None)[0]
    # Claims on the use of lines are about a modality's users or, before its launch, about those who may be.
    is_launched = np.array([m.uptake == "launch" for m in pset.ledger.modalities])
    first_users = base[..., None] * pt.switch(is_launched, _eligible(pset, uptakes), base_use)
    lined = market_lines(pset, launch, first_users, base_use)
    return Demand(pset, patients, uptakes, lined, launch, views), drivers


def _use(
    pset: PriorSet,
    uptakes: Mapping[str, Adoption | Launched],
    patients: TensorVariable,
    years: Sequence[int],
    view: LaunchView | None,
) -> TensorVariable:
    """Use [year, region, depth, modality], a fraction; of a modality without uptake that is launched, none."""
    at = [year - pset.ledger.report.first_year for year in years]

    def of(modality: Modality) -> TensorVariable:
        uptake = uptakes.get(modality.name)
        if isinstance(uptake, Adoption):
            return uptake.use(patients, at)
        if uptake is None or view is None:
            return pt.ones_like(patients) if modality.uptake == "everyone" else pt.zeros_like(patients)
        return uptake.use(view(modality.name, years))

    return pt.stack([of(m) for m in pset.ledger.modalities], axis=-1)


def _eligible(pset: PriorSet, uptakes: Mapping[str, Adoption | Launched]) -> TensorVariable:
    """Share of patients at each depth who may get a modality [depth, modality]."""
    everyone = pt.ones(len(pset.ledger.depths))
    of = (uptakes.get(m.name) for m in pset.ledger.modalities)
    return pt.stack([u.eligible if isinstance(u, Launched) else everyone for u in of], axis=-1)


def _by_modality(pset: PriorSet, by_line: TensorVariable | None, use: TensorVariable) -> TensorVariable:
    """What users of a modality spend by its lines [year, region, depth, modality]; 1 without lines."""
    if by_line is None:
        return pt.ones_like(use)
    at = {m.name: [k for k, x in enumerate(pset.ledger.lines) if x.modality == m.name] for m in pset.ledger.modalities}
    whole = pt.ones_like(use[..., 0])
    return pt.stack([by_line[of].sum(axis=0) if of else whole for of in at.values()], axis=-1)


def _of_line(pset: PriorSet, cells: TensorVariable) -> TensorVariable:
    """Cells [..., modality] of each line's modality [line, ...]."""
    names = list(pset.ledger.segments["modality"])
    return pt.stack([cells[..., names.index(line.modality)] for line in pset.ledger.lines])


def _had_launched(
    pset: PriorSet, of: PatientPool, uptakes: Mapping[str, Adoption | Launched], view: LaunchView | None
) -> TensorVariable | None:
    """Share of patients [anchor] who had a launched procedure by then, as the report sees it, each once in a life.

    None unless the adoption claim counts them.
    """
    if pset.settings.adoption_scope != "with_launched" or view is None:
        return None
    years = list(pset.ledger.years)
    patients = of.patients(years)
    procedures = sum(
        (patients * uptake.use(view(name, years))).sum(axis=(1, 2))
        for name, uptake in uptakes.items()
        if isinstance(uptake, Launched)
    )
    at = [years.index(anchor) for anchor in pset.ledger.report.anchors]
    return pt.cumsum(procedures)[at] / patients.sum(axis=(1, 2))[at]


def _forecast(pset: PriorSet, cells: MarketCells, path: TensorVariable) -> None:
    """Everything that a forecast is read for, in every year, as Deterministics."""
    intensity = cells.spend * pt.exp(path)[:, None, None, :]
    for name, (dims, graph) in read_for(pset, cells, intensity).items():
        pm.Deterministic(name, graph, dims=dims)


def read_for(
    pset: PriorSet, cells: MarketCells, intensity: TensorVariable
) -> dict[str, tuple[tuple[str, ...], TensorVariable]]:
    """Everything that a forecast is read for, by the name of its variable: dims and graph.

    Parameters: `cells` of every year; `intensity` [year, region, depth, modality], spend per user.
    """
    users = cells.users
    revenue = users * intensity / MILLION
    price = (cells.weights * intensity).sum(axis=(1, 2)) / cells.weights.sum(axis=(1, 2))
    found: dict[str, tuple[tuple[str, ...], TensorVariable]] = {v.PATIENTS: (SEGMENTS[:3], cells.patients)}
    for k, modality in enumerate(pset.ledger.modalities):
        if modality.uptake == "adoption":
            mean = users[..., k].sum(axis=(1, 2)) / cells.patients.sum(axis=(1, 2))
            found[pset.own(v.ADOPTION, modality)] = SEGMENTS[:3], cells.use[..., k]
            found[pset.own(v.ADOPTION_MEAN, modality)] = ("year",), mean
    found |= {
        v.PRICE: (("year", "modality"), price),
        v.USE: (SEGMENTS, cells.use),
        v.INTENSITY: (SEGMENTS, intensity),
        v.REVENUE: (SEGMENTS, revenue),
        v.REVENUE_TOTAL: (("year",), revenue.sum(axis=(1, 2, 3))),
    }
    if cells.line_use is not None and cells.line_share is not None:
        dims = (*SEGMENTS[:3], "line")
        of_lines = _of_line(pset, revenue) * cells.line_share
        found[v.USE_LINE] = dims, pt.moveaxis(cells.line_use, 0, -1)
        found[v.REVENUE_LINE] = dims, pt.moveaxis(of_lines, 0, -1)
    return found
