"""Uptake: the fraction of patients who use a modality, by kind (everyone treated, adoption curve, launch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import assumed, deviation, from_standard, hyper, multiplied, ordered, variable
from postcgrp.models.launch import Launches
from postcgrp.models.shapes import Sticks, gradient, redistribute
from postcgrp.priors import PriorSet
from postcgrp.priors.ledger import Modality

_LEAST_SHARE = 1e-3  # of a mean that has a logit


@dataclass(frozen=True)
class Adoption:
    """An adoption curve: its patient-weighted mean, and how segments differ from it.

    `mean` [year]; `offset` [region, depth], the log-odds of each segment around it; `levels`, the mean in the years, by
    index, at which it does not depend on the path between anchors; the density takes it from there, and so needs no
    path.
    """

    mean: TensorVariable
    offset: TensorVariable
    levels: Mapping[int, TensorVariable] = field(default_factory=dict)

    def means(self, years: Sequence[int]) -> TensorVariable:
        """The mean in the years of these indices [len(years)]."""
        known = all(year in self.levels for year in years)
        return pt.stack([self.levels[year] for year in years]) if known else self.mean[list(years)]

    def use(self, patients: TensorVariable, years: Sequence[int]) -> TensorVariable:
        """Users among `patients` [len(years), region, depth], a fraction in the same shape; `years` are indices."""
        return redistribute(self.means(years), patients, self.offset)


@dataclass(frozen=True)
class Launched:
    """A launched modality: `eligible` [depth], the share of patients who may get it, and `ceiling` [region].

    The ceiling is new procedures a year per eligible patient once the launch has risen in full.
    """

    eligible: TensorVariable
    ceiling: TensorVariable

    def use(self, risen: TensorVariable) -> TensorVariable:
        """New procedures a year per patient [year, region, depth], given `risen` [year, region]."""
        return (self.ceiling * risen)[:, :, None] * self.eligible


def adoption(
    pset: PriorSet, modality: Modality, drivers: dict[str, TensorVariable], launched: TensorVariable | None = None
) -> Adoption:
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
    spread = assumed(pset, v.adoption_step_region_sd(pset, modality))
    steepness = pt.exp(spread * deviation(own(v.ADOPTION_STEP_REGION, modality), "region"))
    step = variable(pset, own(v.ADOPTION_STEP, modality))
    offset = region_effect(pset, modality)[:, None] + gradient(step * steepness[:, None], depths)
    if v.MOH in drivers:
        offset += variable(pset, own(v.MOH_EFFECT, modality)) * log_odds(drivers[v.MOH])
    if v.PAYER_BLOCK in drivers:
        offset -= variable(pset, own(v.PAYER_BRAKE, modality)) * log_odds(drivers[v.PAYER_BLOCK])[:, None]
    return Adoption(mean, offset, _by_index(pset, modality, levels))


def launched(pset: PriorSet, launches: Launches) -> dict[str, Launched]:
    """The modalities that are to be launched, by name: a ceiling by region, and the share eligible at each depth."""
    modalities = pset.modalities("launch")
    if not modalities:
        return {}
    eligible = from_standard(pset, v.ELIGIBLE_SHARE, "launched")
    out = {}
    for k, modality in enumerate(modalities):
        ceiling = pt.sigmoid(
            log_odds(launches.ceiling[launches.names.index(modality.name)]) + region_effect(pset, modality)
        )
        out[modality.name] = Launched(eligible[k], ceiling)
    return out


def rising_path(pset: PriorSet, modality: Modality, levels: Sequence[TensorVariable]) -> TensorVariable:
    """A path [year] through `levels` at the anchors that never falls: each year takes a random share of the rise.

    Between two anchors the shares are Dirichlet, their means :meth:`postcgrp.priors.PriorSet.rise`.
    """
    anchors = pset.uptake_years(modality)
    path = [levels[0][None]]
    for k, (start, end) in enumerate(pairwise(anchors)):
        rise = levels[k + 1] - levels[k]
        if end - start == 1:
            path.append(levels[k + 1][None])
            continue
        name = v.path(pset, modality, end)
        mean = hyper(v.path_concentration(pset, modality)) * hyper(v.path_mean(name))
        share = pm.Dirichlet(name, mean, dims=f"{name}_year", default_transform=Sticks())
        path += [levels[k] + rise * pt.cumsum(share)[:-1], levels[k + 1][None]]
    return pt.concatenate(path)


def _by_index(pset: PriorSet, modality: Modality, levels: Sequence[TensorVariable]) -> dict[int, TensorVariable]:
    """The levels of a path by the index of their year."""
    years = [year - pset.ledger.report.first_year for year in pset.uptake_years(modality)]
    return dict(zip(years, levels, strict=True))


def region_effect(pset: PriorSet, modality: Modality) -> TensorVariable:
    """Log-odds of uptake by region [region]: the report's direction, with partially pooled deviations around it."""
    centre = multiplied(pset, v.uptake_region_centre(pset, modality))
    spread = variable(pset, v.uptake_region_sd(pset, modality))
    deviations = deviation(v.uptake_region(pset, modality), "region")
    return centre + spread * deviations


def log_odds(share: TensorVariable) -> TensorVariable:
    """Log-odds of a share."""
    return pt.log(share / (1 - share))
