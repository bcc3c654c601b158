"""The density of any model is PyMC's own, and stable where its factors are far from the data."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.distributions.transforms import ordered

from postcgrp.inference.density import density, derived
from postcgrp.inference.forward import ONCE, draw_prior
from postcgrp.tests.helpers.variants import variants

Y = np.random.default_rng(0).normal(size=20)


def hierarchy() -> None:
    upper = pm.HalfCauchy("upper", 1)
    pm.Uniform("bounded", 0, upper, shape=3)  # a transform that depends on another variable
    x = pm.Normal("x", 0, upper, shape=2)
    pm.StudentT("y", nu=4, mu=x[np.arange(20) % 2], sigma=1, observed=Y)


def mixture() -> None:
    weights = pm.Dirichlet("weights", np.ones(3))
    means = pm.Normal("means", 0, 5, shape=3, transform=ordered, initval=[-1, 0, 1])
    pm.NormalMixture("y", weights, means, 1, observed=Y)
    pm.Potential("pull", -(means.sum() ** 2))


def imputed() -> None:
    y = Y.copy()
    y[3] = np.nan
    pm.Normal("y", pm.Normal("mean"), 1, observed=y)


def far() -> None:
    pm.Bernoulli("y", logit_p=100 * pm.Normal("size", shape=20), observed=(Y > 0).astype(int))


def of_unknown_shape() -> None:
    x, y = pm.Normal("x", shape=(4, 5)), pm.Data("data", Y)
    pm.Normal("y", pt.ones((y.shape[0],)) * x.reshape((-1,))[: y.shape[0]], 1, observed=y)


def nothing_but_standard_normals() -> None:
    pm.Normal("x", shape=3)


@pytest.mark.filterwarnings("ignore:Data in y contains missing values")
@pytest.mark.parametrize(
    "build", variants([hierarchy, mixture, imputed, nothing_but_standard_normals, far, of_unknown_shape], stay=4)
)
def test_densities_are_those_of_pymc(build: Callable[[], None]) -> None:
    with pm.Model() as model:
        build()
    point = {name: draws[0] for name, draws in draw_prior(model, 1, seed=1).items()}
    ours = density(model, point)
    vector = ours.flat.join(point)
    theirs = model.compile_logp(mode=ONCE)(point)
    assert float(ours.logp(vector, ours.data)) == pytest.approx(float(theirs), rel=1e-10)
    assert np.isfinite(jax.grad(ours.logp)(vector, ours.data)).all()
    terms = jax.jit(derived(model, point))(vector, ours.data)
    apart = model.compile_logp(sum=False, jacobian=False, mode=ONCE)(point)
    each = dict(zip(model.basic_RVs, apart, strict=False))
    for rv in model.basic_RVs:
        group = "log_prior" if rv in model.free_RVs else "log_likelihood"
        assert np.sum(terms[group][rv.name]) == pytest.approx(np.sum(each[rv]), rel=1e-10)
