"""Lines of a modality: who uses each, what a user-year of it costs, and what the modality's users spend by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import deviation, hyper, standardised
from postcgrp.models.launch import Launches
from postcgrp.models.shapes import interpolation, redistribute
from postcgrp.priors import PriorSet
from postcgrp.priors.lines import displacements

MIDYEAR = 0.5
_LEFT_AT_SPEED = np.log(10)  # a fall is nine tenths done after `line_exclusivity_speed` years


@dataclass(frozen=True)
class Lines:
    """What the lines of a prior set are made of, as graphs.

    `odds` [line_claimed, region, depth], log-odds of use in the first year; `drift` [line_claimed, anchor], what has
    been added to them by each anchor; `base_use` [region, depth, modality], use of the modalities in the first year;
    `displacement` [displacing]; `log_level` [line, region], log of list price x net of list x persistence;
    `growth` [line, region]; `price_year`, in whose money that is; of those that may lose exclusivity
    [line_exclusive, region] the year in which they do, `lost_in`, and its `fall` and `speed`.
    """

    pset: PriorSet
    launches: Launches | None
    odds: TensorVariable
    drift: TensorVariable
    base_use: TensorVariable
    displacement: TensorVariable
    log_level: TensorVariable
    growth: TensorVariable
    price_year: TensorVariable
    lost_in: TensorVariable
    fall: TensorVariable
    speed: TensorVariable

    def use(self, years: Sequence[int], use: TensorVariable, risen: dict[str, TensorVariable]) -> list[TensorVariable]:
        """Share of a modality's users on each line, one [len(years), region, depth] for each line.

        Parameters: `use` [len(years), region, depth, modality]; `risen`, for each pipeline line what it has reached of
        its ceiling [len(years), region], success counted in. Uses may overlap. A pipeline line takes the share
        `displacement` of the others' use from its users, and so does a modality from the lines that it displaces, for
        users beyond those of the first year.
        """
        ledger, claimed = self.pset.ledger, self.pset.coords["line_claimed"]
        at = interpolation(years, ledger.report.anchors)
        out: dict[str, TensorVariable] = {}
        for line in ledger.lines:
            if line.name in claimed:
                k = claimed.index(line.name)
                drift = (at @ self.drift[k])[:, None, None]
                out[line.name] = pt.sigmoid(self.odds[k] + drift)
            elif line.stage == "pipeline" and self.launches is not None:
                ceiling = self.launches.ceiling[self.launches.names.index(line.name)]
                out[line.name] = (ceiling * risen[line.name])[:, :, None] + pt.zeros_like(use[..., 0])
            else:
                out[line.name] = pt.ones_like(use[..., 0])
        modality_of = {line.name: line.modality for line in ledger.lines}
        names = list(ledger.segments["modality"])
        entering = dict(out)
        for k, (modality, line) in enumerate(displacements(ledger).values()):
            if modality is None:
                left = 1 - self.displacement[k] * entering[line]
                beside = {other for other in out if modality_of[other] == modality_of[line]} - {line}
                out |= {other: out[other] * left for other in out if other in beside}
            else:
                m = names.index(modality)
                out[line] = out[line] * (1 - self.displacement[k] * (use[..., m] - self.base_use[..., m]))
        return list(out.values())

    def log_cost(self, years: Sequence[int]) -> list[TensorVariable]:
        """Log of what a user spends on each line in a year, one [len(years), region] for each line, nominal.

        From the year of the price rows, or from its launch, the price grows until exclusivity is lost; then it falls.
        """
        ledger = self.pset.ledger
        middle = np.asarray(years, dtype=float)[:, None] + MIDYEAR
        exclusive = self.pset.coords["line_exclusive"]
        out = []
        for k, line in enumerate(ledger.lines):
            until, fallen = middle, pt.zeros((1, 1))
            if line.name in exclusive:
                e = exclusive.index(line.name)
                since = pt.maximum(middle - self.lost_in[e], 0.0)
                until = pt.minimum(middle, self.lost_in[e])
                fallen = pt.log1p(self.fall[e] * pt.expm1(-_LEFT_AT_SPEED * since / self.speed[e]))
            if line.stage == "pipeline" and self.launches is not None:
                grown = pt.maximum(until - self.launches.year[self.launches.names.index(line.name)], 0.0)
            else:
                grown = until - self.price_year - MIDYEAR
            out.append(self.log_level[k] + self.growth[k] * grown + fallen)
        return out

    def built(self, years: Sequence[int], use: list[TensorVariable]) -> list[TensorVariable]:
        """What a modality's users spend on each line by its rows, one [len(years), region, depth] for each line.

        Parameters: `use`, see :meth:`use`. Currency per user-year of the modality.
        """
        return [share * pt.exp(cost)[:, :, None] for share, cost in zip(use, self.log_cost(years), strict=True)]


def lines(pset: PriorSet, launch: Launches | None, patients: TensorVariable, base_use: TensorVariable) -> Lines | None:
    """The lines of a prior set, None if it has none.

    Parameters: `patients` [region, depth] and `base_use` [region, depth, modality] of the first year, by which the
    claims on use are weighted.
    """
    if not pset.ledger.lines:
        return None
    common = standardised(pset, v.LINE_PRICE_COMMON)
    cholesky = region_cholesky(pset)
    levels = [
        pt.log(standardised(pset, name, "line", "region", cholesky=cholesky))
        for name in (v.LINE_LIST_PRICE, v.LINE_NET_RATIO)
    ]
    persistence = standardised(pset, v.PERSISTENCE, "line")
    exclusive = [
        standardised(pset, name, "line_exclusive") if pset.coords["line_exclusive"] else pt.zeros((0, 0))
        for name in (v.LINE_EXCLUSIVITY_YEAR, v.LINE_EXCLUSIVITY_FALL, v.LINE_EXCLUSIVITY_SPEED)
    ]
    displaced = v.DISPLACEMENT in pset.blocks
    return Lines(
        pset,
        launch,
        _odds(pset, patients, base_use),
        _drift(pset),
        base_use,
        standardised(pset, v.DISPLACEMENT, "displacing") if displaced else pt.zeros(0),
        levels[0] + levels[1] + pt.log(persistence) + common,
        standardised(pset, v.LINE_PRICE_GROWTH, "line"),
        hyper(v.LINE_PRICE_YEAR, pset.number("line_price_year")),
        *exclusive,
    )


def region_cholesky(pset: PriorSet) -> TensorVariable:
    """Cholesky factor [region, region] under which any two regions have the correlation `line_region_correlation`."""
    n, correlation = len(pset.ledger.regions), pset.number("line_region_correlation")
    matrix = np.full((n, n), correlation) + (1 - correlation) * np.eye(n)
    return hyper(v.LINE_REGION_CHOLESKY, np.linalg.cholesky(matrix + 1e-12 * np.eye(n)), ("region", "region_z"))


def _odds(pset: PriorSet, patients: TensorVariable, base_use: TensorVariable) -> TensorVariable:
    """Log-odds of use of each claimed line in the first year [line_claimed, region, depth].

    Its mean over the patients who use the modality carries the claim exactly; regions and depths lie around it, by the
    report's directions and partially pooled deviations.
    """
    claimed = [str(name) for name in pset.coords["line_claimed"]]
    if not claimed:
        return pt.zeros((0, 1, 1))
    level = standardised(pset, v.LINE_USE_LEVEL, "line_claimed")
    sizes = {dim: [pset.number(f"line_use_{dim}_size", line=line) for line in claimed] for dim in ("region", "depth")}
    region, depth = (
        np.array([size * pset.line_signs(dim, line) for size, line in zip(sizes[dim], claimed, strict=True)])
        for dim in ("region", "depth")
    )
    spread = hyper(
        v.sd(v.LINE_USE_REGION), [pset.number("line_use_region_sd", line=x) for x in claimed], ("line_claimed",)
    )
    around = hyper(v.LINE_USE_REGION_CENTRE, region, ("line_claimed", "region")) + spread[:, None] * deviation(
        v.LINE_USE_REGION, "line_claimed", "region"
    )
    offset = around[:, :, None] + hyper(v.LINE_USE_DEPTH_CENTRE, depth, ("line_claimed", "depth"))[:, None, :]
    names = list(pset.ledger.segments["modality"])
    modality_of = {line.name: names.index(line.modality) for line in pset.ledger.lines}
    weights = pt.stack([patients * base_use[..., modality_of[line]] for line in claimed])
    cells = redistribute(level, weights, offset)
    return pt.log(cells) - pt.log1p(-cells)


def _drift(pset: PriorSet) -> TensorVariable:
    """What has been added to the log-odds of use by each anchor [line_claimed, anchor]."""
    if v.LINE_DRIFT not in pset.blocks:
        return pt.zeros((0, len(pset.ledger.report.anchors)))
    steps = standardised(pset, v.LINE_DRIFT, "line_claimed", "period")
    return pt.concatenate([pt.zeros_like(steps[:, :1]), pt.cumsum(steps, axis=1)], axis=1)
