"""Launches: whether, when, how high and how fast what is not sold yet comes on the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.bounds import chance_given_bounds
from postcgrp.models.latent import from_standard, hyper
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MIDYEAR

_FOOT = 0.1  # years


@dataclass(frozen=True)
class Launches:
    """Graphs of every launch [launch]: modalities that are to be launched, then pipeline lines.

    `names`, their labels, `launched` those that are modalities; `succeeds`, 1 or 0; `probability` of success; `year`
    [launch, region] in which sales truly start, and `vendor_year` [launched], in which the report's figures assume it;
    `ceiling`, the share reached in the end; `speed`, years to half of it.
    """

    names: tuple[str, ...]
    launched: tuple[str, ...]
    succeeds: TensorVariable
    probability: TensorVariable
    year: TensorVariable
    vendor_year: TensorVariable
    ceiling: TensorVariable
    speed: TensorVariable

    def risen(self, name: str, years: Sequence[int]) -> TensorVariable:
        """Share of its ceiling that a launch has reached by the middle of each year, if it succeeds.

        Returns [len(years), region]: exactly zero before the launch, then 1 - 2^-(years / speed)^2: half after `speed`.
        """
        since = _middle(years) - self.year[self.names.index(name)]
        return self._risen(name, pt.maximum(since, 0.0))

    def risen_by_rows(self, name: str, years: Sequence[int], *, by_vendor: bool) -> TensorVariable:
        """As :meth:`risen`, for evidence, and with the vendor's launch year or ours.

        A row on a launch says that there were sales, and its logarithm needs some: before a launch they vanish within
        weeks, but not at once.
        """
        of_vendor = by_vendor and name in self.launched
        start = self.vendor_year[self.launched.index(name)][None] if of_vendor else self.year[self.names.index(name)]
        return self._risen(name, _FOOT * pt.softplus((_middle(years) - start) / _FOOT))

    def _risen(self, name: str, since: TensorVariable) -> TensorVariable:
        return -pt.expm1(-np.log(2) * (since / self.speed[self.names.index(name)]) ** 2)


def _middle(years: Sequence[int]) -> NDArray[np.float64]:
    return np.asarray(years, dtype=float)[:, None] + MIDYEAR


def launches(pset: PriorSet) -> Launches | None:
    """The launches of a prior set, None if it has none.

    Success is u below its probability, with u uniform, so that it can be intervened on. What the report states does not
    move it, for that is read as given success or as an expectation over it (:mod:`postcgrp.models.views`); sales that
    another source has measured make it certain, and what bounds it makes it less so (:mod:`postcgrp.models.bounds`).
    """
    names = pset.coords["launch"]
    if not names:
        return None
    probability = from_standard(pset, v.SUCCESS_PROBABILITY, "launch")
    draw = pm.Uniform(v.SUCCESS_DRAW, dims="launch")
    certain = hyper(v.SUCCESS_MEASURED)
    vendor = (
        from_standard(pset, v.VENDOR_LAUNCH_YEAR, "launched") if v.VENDOR_LAUNCH_YEAR in pset.blocks else pt.zeros(0)
    )
    year = from_standard(pset, v.LAUNCH_YEAR, "launch")
    chance = chance_given_bounds(pset, [*map(str, names)], pt.maximum(probability, certain), year)
    return Launches(
        names=tuple(map(str, names)),
        launched=tuple(map(str, pset.coords["launched"])),
        succeeds=pm.Deterministic(v.SUCCESS, pt.maximum(pt.lt(draw, chance).astype("float64"), certain), dims="launch"),
        probability=probability,
        year=year,
        vendor_year=vendor,
        ceiling=from_standard(pset, v.LAUNCH_CEILING, "launch"),
        speed=from_standard(pset, v.LAUNCH_SPEED, "launch"),
    )
