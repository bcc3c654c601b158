"""Bounds on launches: that nothing was sold before some date, because a launch came later or because it failed.

Success is u < pi with u uniform, a step that has no gradient. So a bound is observed with success summed out: its
probability is 1 - pi + pi h, where h is that of a launch which comes. Success given the bounds is then drawn by the
same u, held against pi h / (1 - pi + pi h): the joint distribution is that of a model that draws success first.
"""

from __future__ import annotations

from collections.abc import Sequence

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import hyper
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import STEEPNESS

_CERTAIN = 1 - 1e-12  # a probability whose complement has a logarithm


def chance_given_bounds(
    pset: PriorSet, names: Sequence[str], chance: TensorVariable, year: TensorVariable
) -> TensorVariable:
    """Observes what bounds launches, and returns the chance of success of each given that [launch].

    Of a launch that comes at T, that nothing is seen before c has the probability of a logistic error of T being above
    c - T, with the row's sd: unlike a normal one it has a gradient however far off T is. Parameters: `names` of the
    launches; `chance` of success [launch] without bounds; `year` [launch, region] in which sales start.
    """
    bounds = pset.bounds
    if not bounds:
        return chance
    rows = [row for of in bounds.values() for row in of]
    launch_of = [names.index(launch) for launch, of in bounds.items() for _ in of]
    starts = pt.stack([first_sale(pset, row, year[at]) for row, at in zip(rows, launch_of, strict=True)])
    holds = pm.math.sigmoid(STEEPNESS * (starts - hyper(v.BOUND_DATE)) / hyper(v.BOUND_SD))
    at = [names.index(launch) for launch in bounds]
    if_it_comes = pt.stack([pt.prod(holds[[k for k, of in enumerate(launch_of) if of == launch]]) for launch in at])
    before = chance[at]
    hold = 1 - before + before * if_it_comes
    told = hyper(v.BOUNDS_HOLD)
    held = pm.Bernoulli(v.BOUND, pt.minimum(hold, _CERTAIN), observed=told, dims=v.BOUNDED, dtype=told.dtype)
    # Had they not held, then because the launch came.
    return pt.set_subtensor(chance[at], pt.switch(pt.eq(held, 1), before * if_it_comes / hold, 1.0))


def first_sale(pset: PriorSet, row: Evidence, year: TensorVariable) -> TensorVariable:
    """When sales of what a row is about start [], of `year` [region]; without a region where they start first."""
    return year.min() if row.region is None else year[pset.coords["region"].index(row.region)]
