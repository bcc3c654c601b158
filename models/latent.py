"""From prior blocks to random variables: each prior's hyperparameters enter the graph as named data."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor.tensor import TensorVariable

from postcgrp.priors import PriorSet

DISTRIBUTION = {"normal": pm.Normal, "lognormal": pm.LogNormal}


def hyper(name: str, value: ArrayLike, dims: tuple[str, ...] = ()) -> TensorVariable:
    """A hyperparameter as `pm.Data`, so that another value needs no other graph."""
    return pm.Data(name, np.asarray(value, dtype=float), dims=dims)


def variable(pset: PriorSet, name: str) -> TensorVariable:
    """The variable of one prior block, on its natural scale.

    A logit-normal is a normal `{name}_logit` and its sigmoid: PyMC 6.4's `LogitNormal` has no default transform.
    """
    block = pset.blocks[name]
    if not block.priors:  # one depth has no steps, one anchor no growth
        return pt.zeros(0)
    (family,) = {prior.family for prior in block.priors}
    if family == "logitnormal":
        z = pm.Normal(f"{name}_logit", *hyperparameters(pset, name), dims=block.dims)
        return pm.Deterministic(name, pm.math.sigmoid(z), dims=block.dims)
    return DISTRIBUTION[family](name, *hyperparameters(pset, name), dims=block.dims)


def hyperparameters(pset: PriorSet, name: str) -> tuple[TensorVariable, TensorVariable]:
    """Mean and sd of a prior block on its link scale."""
    block = pset.blocks[name]
    shape = [len(pset.coords.get(dim, block.priors)) for dim in block.dims]
    mu = np.reshape([prior.mu for prior in block.priors], shape)
    sd = np.reshape([prior.sd for prior in block.priors], shape)
    return hyper(f"{name}_mu", mu, block.dims), hyper(f"{name}_sd", sd, block.dims)


def ordered(pset: PriorSet, name: str) -> TensorVariable:
    """Correlated logit-normals of one block, non-decreasing along it in every draw, each marginal as elicited.

    The running maximum acts in at most 0.1 % of draws a pair (see :func:`postcgrp.priors.coupling`).
    """
    block = pset.blocks[name]
    mu, sd = hyperparameters(pset, name)
    z = pm.Normal(f"{name}_z", dims=block.dims)
    cholesky = hyper(f"{name}_cholesky", block.cholesky, (block.dims[0], f"{block.dims[0]}_z"))
    level = pm.math.sigmoid(mu + sd * (cholesky @ z))
    running = [level[0]]
    for k in range(1, len(block.priors)):
        running.append(pt.maximum(running[-1], level[k]))
    return pm.Deterministic(name, pt.stack(running), dims=block.dims)


def deviation(name: str, *dims: str) -> TensorVariable:
    """Standard-normal deviations, to be scaled by a spread (non-centred partial pooling)."""
    sizes = [len(pm.modelcontext(None).coords[dim] or ()) for dim in dims]
    return pm.Normal(name, dims=dims) if all(sizes) else pt.zeros(sizes)
