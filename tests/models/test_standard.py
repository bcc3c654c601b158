"""Which standard draws move which numbers: the table against the model's own graph, and densities against SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from postcgrp.models import standard
from postcgrp.models import variables as v
from postcgrp.models.standard import standard_of
from postcgrp.priors import PriorSet
from postcgrp.priors.elicit import LINK
from postcgrp.tests.helpers.stored import prior_draws

pytestmark = pytest.mark.fit


def test_the_draws_of_every_block_have_the_dims_of_the_graph(pset: PriorSet, model: pm.Model) -> None:
    free = {rv.name for rv in model.free_RVs}
    for name in pset.blocks:
        found, z = standard_of(pset, name), v.standard(name)
        assert (found is not None) is (z in free), name
        if found is not None:
            assert found.dims == tuple(model.named_vars_to_dims.get(z) or ()), name
    assert set(standard.DRAW_DIMS) <= set(pset.blocks)


def test_scores_are_the_numbers_in_prior_sds(pset: PriorSet) -> None:
    """From the standard draws to the values that the graph has, on the link scale; ordered levels may be raised."""
    draws = prior_draws(pset, 50)
    for name, block in pset.blocks.items():
        found = standard_of(pset, name)
        if found is None or name in ("burden_level", "adoption_level"):
            continue
        scores = found.scores(draws[v.standard(name)])
        values = draws[name].reshape(50, -1)
        for at in np.ndindex(found.cells.shape[:-1]):
            for k in found.cells[at]:
                prior = block.priors[k]
                expected = LINK[prior.family][1](prior.mu + prior.sd * scores[(slice(None), *at)])
                assert values[:, k] == pytest.approx(expected, rel=1e-9, abs=1e-12), prior.name


def test_correlated_scores_have_their_joint_density(pset: PriorSet) -> None:
    found = standard_of(pset, "line_list_price")
    assert found is not None
    assert found.cholesky is not None
    scores = np.random.default_rng(1).normal(size=(20, 7, 5))
    matrix = 0.5 + 0.5 * np.eye(5)
    expected = stats.multivariate_normal(cov=matrix).logpdf(scores).sum(axis=1)
    apart = found.log_density(scores).sum(axis=(1, 2)) - expected
    assert np.ptp(apart) < 1e-6
    assert apart[0] == pytest.approx(35 * np.log(2 * np.pi) / 2)


def test_heavy_scores_have_a_student_density(pset: PriorSet) -> None:
    block = pset.blocks["launch_speed"]
    heavy = replace(block, priors=tuple(replace(prior, family="logstudent") for prior in block.priors))
    found = standard_of(replace(pset, blocks={**pset.blocks, "launch_speed": heavy}), "launch_speed")
    assert found is not None
    x = np.linspace(-5, 5, 11)
    assert np.ptp(found.log_density(x) - stats.t(4).logpdf(x)) < 1e-9
