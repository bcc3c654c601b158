"""Uptake: the fraction of patients who use a modality, by kind (everyone treated, adoption curve, launch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, hyper, ordered, variable
from postcgrp.models.shapes import Sticks, gradient, redistribute
from postcgrp.priors import PriorSet
from postcgrp.priors.ledger import Modality

_LEAST_SHARE = 1e-3  # of a mean that has a logit


@dataclass(frozen=True)
class Uptake:
    """How one modality is used: its mean among the eligible, and how segments differ from it.

    `mean` [year] is the patient-weighted mean use of the eligible; None where everyone is treated. `offset`
    [region, depth] is the log-odds of each segment around it. `eligible` [depth] is the share of patients who may
    get the modality. `first` is the index of the first year with any use. `levels` is the mean in the years, by index,
    at which it does not depend on the path between anchors; the density takes it from there, and so needs no path.
    """

    mean: TensorVariable | None
    offset: TensorVariable | None
    eligible: TensorVariable
    first: int = 0
    levels: Mapping[int, TensorVariable] = field(default_factory=dict)

    def treated(self, patients: TensorVariable, years: Sequence[int]) -> TensorVariable:
        """Treated patients [len(years)] of all segments, given `patients` [len(years), region, depth].

        `years` are the indices of years, in order.
        """
        pool = (patients * self.eligible).sum(axis=(1, 2))
        return pool if self.mean is None else pool * self._means(self.mean, years)

    def use(self, patients: TensorVariable, years: Sequence[int]) -> TensorVariable:
        """Treated fraction of `patients` [len(years), region, depth], in the same shape; `years` as for `treated`.

        Segments are redistributed around the mean, so their sum is :meth:`treated`.
        """
        before = sum(year < self.first for year in years)
        if self.mean is None or self.offset is None:
            return pt.ones_like(patients) * self.eligible
        off = pt.zeros_like(patients[:before])
        if before == len(years):
            return off
        cells = redistribute(self._means(self.mean, years[before:]), patients[before:] * self.eligible, self.offset)
        return pt.concatenate([off, cells * self.eligible]) if before else cells * self.eligible

    def _means(self, mean: TensorVariable, years: Sequence[int]) -> TensorVariable:
        known = all(year in self.levels for year in years)
        return pt.stack([self.levels[year] for year in years]) if known else mean[list(years)]


def uptake(
    pset: PriorSet, modality: Modality, drivers: dict[str, TensorVariable], launched: TensorVariable | None = None
) -> Uptake:
    """The uptake of one modality, by the kind its ledger names.

    Parameters: `drivers`, graphs of what moves adoption, where the report has them: `moh` [region, depth] and
    `payer_block` [region]; `launched` [anchor], the share of patients who had a launched procedure by then, if the
    adoption claim counts them.
    """
    if modality.uptake == "adoption":
        return adoption(pset, modality, drivers, launched)
    if modality.uptake == "launch":
        return launch(pset, modality)
    return Uptake(None, None, pt.ones(len(pset.ledger.depths)))


def adoption(
    pset: PriorSet, modality: Modality, drivers: dict[str, TensorVariable], launched: TensorVariable | None = None
) -> Uptake:
    """An adoption curve whose patient-weighted mean carries the report's ranges exactly at the anchors.

    Region, depth, MOH (drug-sparing) and payer blocking (a brake) only redistribute around that mean. Launched
    procedures, if `launched` [anchor] is given, count towards the range: the mean is what they leave, and does not fall
    either.
    """
    own = pset.own
    level = ordered(pset, v.level(pset, modality))
    if launched is not None:
        rest = [pt.maximum(level[k] - launched[k], _LEAST_SHARE) for k in range(len(pset.ledger.report.anchors))]
        level = pt.stack(list(accumulate(rest, pt.maximum)))
    levels = [level[k] for k in range(len(pset.ledger.report.anchors))]
    mean = rising_path(pset, modality, levels)
    depths = len(pset.ledger.depths)
    spread_name = v.adoption_step_region_sd(pset, modality)
    spread = assumed(pset, spread_name, "adoption_step_region_sd", modality=modality.name)
    steepness = pt.exp(spread * deviation(own(v.ADOPTION_STEP_REGION, modality), "region"))
    step = variable(pset, own(v.ADOPTION_STEP, modality))
    offset = region_effect(pset, modality)[:, None] + gradient(step * steepness[:, None], depths)
    if v.MOH in drivers:
        offset += variable(pset, own(v.MOH_EFFECT, modality)) * logit(drivers[v.MOH])
    if v.PAYER_BLOCK in drivers:
        offset -= variable(pset, own(v.PAYER_BRAKE, modality)) * logit(drivers[v.PAYER_BLOCK])[:, None]
    return Uptake(mean, offset, pt.ones(depths), levels=_by_index(pset, modality, levels))


def launch(pset: PriorSet, modality: Modality) -> Uptake:
    """A launch among eligible depths: new procedures a year per eligible patient, none before the launch year.

    The mean rises from zero in the year before the launch through its levels at the anchors.
    """
    level = ordered(pset, v.level(pset, modality))
    levels = [pt.zeros(()), *(level[k] for k in range(len(pset.anchors(modality))))]
    rise = rising_path(pset, modality, levels)
    first = pset.uptake_years(modality)[0] + 1 - pset.ledger.report.first_year
    mean = pt.concatenate([pt.zeros(first), rise[1:]])
    share = pset.numbers("eligible_share", "depth", modality=modality.name)
    eligible = hyper(pset.own(v.ELIGIBLE_SHARE, modality), share, ("depth",))
    offset = region_effect(pset, modality)[:, None] + np.zeros(len(share))
    known = dict.fromkeys(range(first), pt.zeros(())) | _by_index(pset, modality, levels)
    return Uptake(mean, offset, eligible, first, known)


def rising_path(pset: PriorSet, modality: Modality, levels: Sequence[TensorVariable]) -> TensorVariable:
    """A path [year] through `levels` that never falls: each year takes a random share of the rise.

    Parameters: `levels`, one for each of the modality's `uptake_years`, from the first of which the path begins.
    Between two of them the shares are Dirichlet, their means :meth:`postcgrp.priors.PriorSet.rise`.
    """
    kind, anchors = modality.uptake, pset.uptake_years(modality)
    total = pset.number(v.path_assumption(modality), modality=modality.name)
    concentration = hyper(v.path_concentration(pset, modality), total)
    path = [levels[0][None]]
    for k, (start, end) in enumerate(pairwise(anchors)):
        rise = levels[k + 1] - levels[k]
        if (steps := end - start) == 1:
            path.append(levels[k + 1][None])
            continue
        name = v.path(pset, modality, end)
        mean = hyper(v.path_mean(name), pset.rise(steps, foot=kind == "launch" and k == 0), (f"{name}_year",))
        share = pm.Dirichlet(name, concentration * mean, dims=f"{name}_year", default_transform=Sticks())
        path += [levels[k] + rise * pt.cumsum(share)[:-1], levels[k + 1][None]]
    return pt.concatenate(path)


def _by_index(pset: PriorSet, modality: Modality, levels: Sequence[TensorVariable]) -> dict[int, TensorVariable]:
    """The levels of a path by the index of their year."""
    years = [year - pset.ledger.report.first_year for year in pset.uptake_years(modality)]
    return dict(zip(years, levels, strict=True))


def region_effect(pset: PriorSet, modality: Modality) -> TensorVariable:
    """Log-odds of uptake by region [region]: the report's direction, with partially pooled deviations around it."""
    size = pset.number("uptake_region_size", modality=modality.name)
    direction = size * pset.signs("adoption_direction", "region", modality.name)
    centre = hyper(v.uptake_region_centre(pset, modality), direction, ("region",))
    spread = variable(pset, v.uptake_region_sd(pset, modality))
    deviations = deviation(v.uptake_region(pset, modality), "region")
    return centre + spread * deviations


def logit(share: TensorVariable) -> TensorVariable:
    """Log-odds of a share."""
    return pt.log(share / (1 - share))
