"""Lines of a modality: who uses each, what a user-year of it costs, and what the modality's users spend by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import deviation, from_standard, hyper, multiplied
from postcgrp.models.launch import Launches
from postcgrp.models.shapes import interpolation, redistributed_odds, share_of
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import LEFT_AT_SPEED, MIDYEAR
from postcgrp.priors.lines import displacements

_NEVER = 1e6  # a year


@dataclass(frozen=True)
class Lines:
    """What the lines of a prior set are made of, as graphs.

    `odds` [line_claimed, region, depth], odds of use in the first year; `drift` [line_claimed, anchor], what has been
    added to their log by each anchor; `base_use` [region, depth, modality], use of the modalities in the first year;
    `ceiling` [line_pipeline], what a pipeline line reaches in the end; `displacement` [displacing]. Of every line
    [line, region]: `level`, list price x net of list x persistence; `growth` a year, `since` when, and
    whether there is any before (`early`); `lost_in`, the year in which exclusivity is lost, its `fall` and its `speed`.
    """

    pset: PriorSet
    odds: TensorVariable
    drift: TensorVariable
    base_use: TensorVariable
    ceiling: TensorVariable
    displacement: TensorVariable
    level: TensorVariable
    growth: TensorVariable
    since: TensorVariable
    early: NDArray[np.bool_]
    lost_in: TensorVariable
    fall: TensorVariable
    speed: TensorVariable

    def use(self, years: Sequence[int], use: TensorVariable, risen: TensorVariable) -> TensorVariable:
        """Share of a modality's users on each line [line, len(years), region, depth].

        Parameters: `use` [len(years), region, depth, modality]; `risen` [line_pipeline, len(years), region], what each
        has reached of its ceiling, success counted in. Uses may overlap. A pipeline line takes the share `displacement`
        of the others' use from its users, and so does a modality from the lines that it displaces, for users beyond
        those of the first year.
        """
        ledger, whole = self.pset.ledger, pt.ones_like(use[..., 0])
        drift = (self.drift[:, None, :] * interpolation(years, ledger.report.anchors)).sum(axis=-1)
        claimed = share_of(self.odds[:, None] * pt.exp(drift)[:, :, None, None])
        entering = (self.ceiling[:, None, None] * risen)[..., None] * whole
        names, pipeline = self.pset.coords["line_claimed"], self.pset.coords["line_pipeline"]
        shares = {
            line.name: claimed[names.index(line.name)]
            if line.name in names
            else entering[pipeline.index(line.name)]
            if line.name in pipeline
            else whole
            for line in ledger.lines
        }
        left = dict.fromkeys(shares, pt.ones(()))
        modality_of = {line.name: line.modality for line in ledger.lines}
        for k, (modality, line) in enumerate(displacements(ledger).values()):
            if modality is None:
                users, beside = shares[line], {x for x in shares if modality_of[x] == modality_of[line]} - {line}
            else:
                m = list(ledger.segments["modality"]).index(modality)
                users, beside = use[..., m] - self.base_use[..., m], {line}
            left |= {name: left[name] * (1 - self.displacement[k] * users) for name in sorted(beside)}
        return pt.stack([share * left[name] for name, share in shares.items()])

    def built(self, years: Sequence[int], use: TensorVariable) -> TensorVariable:
        """What a modality's users spend on each line by its rows [line, len(years), region, depth], nominal.

        Parameters: `use`, see :meth:`use`. Currency per user-year of the modality. From the year of the price rows, or
        from its launch, the price of a line grows until exclusivity is lost; then it falls.
        """
        middle = np.asarray(years, dtype=float)[:, None] + MIDYEAR
        lost_in, start = self.lost_in[:, None], self.since[:, None]
        grown = pt.minimum(middle, lost_in) - start
        grown = pt.switch(self.early[:, None], grown, pt.maximum(grown, 0.0))
        falling = -LEFT_AT_SPEED * pt.maximum(middle - lost_in, 0.0) / self.speed[:, None]
        kept = 1 - self.fall[:, None] * (1 - pt.exp(falling))
        cost = self.level[:, None] * pt.exp(self.growth[:, None] * grown) * kept
        return use * cost[..., None]


def market_lines(
    pset: PriorSet, launch: Launches | None, users: TensorVariable, base_use: TensorVariable
) -> Lines | None:
    """The lines of a prior set, None if it has none.

    Parameters: `users` [region, depth, modality], by which the claims on use are weighted, and `base_use` [region,
    depth, modality], a fraction, both of the first year.
    """
    if not pset.ledger.lines:
        return None
    cholesky = hyper(v.LINE_REGION_CHOLESKY)
    price, net = (
        from_standard(pset, name, "line", "region", cholesky=cholesky) for name in (v.LINE_LIST_PRICE, v.LINE_NET_RATIO)
    )
    persistence = from_standard(pset, v.PERSISTENCE, "line")
    common = from_standard(pset, v.LINE_PRICE_COMMON)
    pipeline = [str(name) for name in pset.coords["line_pipeline"]]
    price_year = hyper(v.LINE_PRICE_YEAR) + MIDYEAR
    of_launch = [] if launch is None else [launch.names.index(name) for name in pipeline]
    since = price_year * pt.ones((len(pset.ledger.lines), len(pset.ledger.regions)))
    at = [pset.coords["line"].index(name) for name in pipeline]
    if launch is not None and at:
        since = pt.set_subtensor(since[at], launch.year[of_launch])
    return Lines(
        pset,
        odds=_odds(pset, users),
        drift=_drift(pset),
        base_use=base_use,
        ceiling=pt.zeros(0) if launch is None else launch.ceiling[of_launch],
        displacement=(
            from_standard(pset, v.DISPLACEMENT, "displacing") if v.DISPLACEMENT in pset.blocks else pt.zeros(0)
        ),
        level=price * net * persistence * pt.exp(common),
        growth=from_standard(pset, v.LINE_PRICE_GROWTH, "line"),
        since=since,
        early=np.array([[name not in pipeline] for name in pset.coords["line"]]),
        lost_in=_of_exclusive(pset, v.LINE_EXCLUSIVITY_YEAR, _NEVER),
        fall=_of_exclusive(pset, v.LINE_EXCLUSIVITY_FALL, 0.0),
        speed=_of_exclusive(pset, v.LINE_EXCLUSIVITY_SPEED, 1.0),
    )


def _of_exclusive(pset: PriorSet, name: str, otherwise: float) -> TensorVariable:
    """A variable of the lines that may lose exclusivity for every line [line, region]."""
    every = otherwise * pt.ones((len(pset.ledger.lines), len(pset.ledger.regions)))
    if name not in pset.blocks:
        return every
    at = [pset.coords["line"].index(line) for line in pset.coords["line_exclusive"]]
    return pt.set_subtensor(every[at], from_standard(pset, name, "line_exclusive"))


def _odds(pset: PriorSet, users: TensorVariable) -> TensorVariable:
    """Odds of use of each claimed line in the first year [line_claimed, region, depth].

    Its mean over the modality's `users` [region, depth, modality] carries the claim exactly; regions and depths lie
    around it, by the report's directions and partially pooled deviations.
    """
    claimed = [str(name) for name in pset.coords["line_claimed"]]
    if not claimed:
        return pt.zeros((0, 1, 1))
    level = from_standard(pset, v.LINE_USE_LEVEL, "line_claimed")

    spread = multiplied(pset, v.sd(v.LINE_USE_REGION))[:, None]
    around = spread * deviation(v.LINE_USE_REGION, "line_claimed", "region")
    of_region = multiplied(pset, v.LINE_USE_REGION_CENTRE) + around
    offset = of_region[:, :, None] + multiplied(pset, v.LINE_USE_DEPTH_CENTRE)[:, None, :]
    names = list(pset.ledger.segments["modality"])
    modality_of = {line.name: names.index(line.modality) for line in pset.ledger.lines}
    weights = pt.stack([users[..., modality_of[line]] for line in claimed])
    return redistributed_odds(level, weights, offset)


def _drift(pset: PriorSet) -> TensorVariable:
    """What has been added to the log-odds of use by each anchor [line_claimed, anchor]."""
    if v.LINE_DRIFT not in pset.blocks:
        return pt.zeros((0, len(pset.ledger.report.anchors)))
    steps = from_standard(pset, v.LINE_DRIFT, "line_claimed", "period")
    return pt.concatenate([pt.zeros_like(steps[:, :1]), pt.cumsum(steps, axis=1)], axis=1)
