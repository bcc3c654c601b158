"""What bounds launches: the model's density and its success against NumPy, and its posterior against weighted draws."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pymc as pm
import pytest
from numpy.typing import NDArray
from scipy.stats import logistic

from postcgrp.inference import Sampling, sample
from postcgrp.inference.density import density, derived
from postcgrp.inference.estimates import quantile
from postcgrp.inference.forward import ONCE, draw_prior
from postcgrp.models import build_model
from postcgrp.priors import PriorSet
from postcgrp.reports.runs.evidence import flat
from postcgrp.tests.helpers.markets import bounded

pytestmark = pytest.mark.fit

Array = NDArray[np.float64]


def only(pset: PriorSet, *, bounds: bool) -> PriorSet:
    """The same market with what bounds its launch and nothing else, or with nothing."""
    return pset.with_evidence([row for row in pset.evidence if row.is_bound and bounds])


def holds(pset: PriorSet, years: Array) -> Array:
    """How likely what bounds the launch was, had it come in `years` [draw, region]."""
    later = [
        logistic(row.stated, row.log_sd * np.sqrt(3) / np.pi).cdf(
            years.min(axis=1) if row.region is None else years[:, pset.coords["region"].index(row.region)]
        )
        for row in pset.evidence
        if row.is_bound
    ]
    return np.prod(later, axis=0)


@pytest.mark.slow
def test_the_density_is_that_of_a_launch_that_came_later_or_never() -> None:
    pset = bounded()
    with_bounds, without = (build_model(only(pset, bounds=bounds)) for bounds in (True, False))
    points = draw_prior(without, 5, 1)
    example = {name: values[0] for name, values in points.items()}
    first, second = density(with_bounds, example), density(without, example)
    drawn = derived(with_bounds, example, ("success", "success_probability", "launch_year"), log_prior=False)
    slope = jax.grad(first.logp)
    for vector in first.flat.join(points):
        values = drawn(vector, first.data)["posterior"]
        chance, luck = values["success_probability"][0], values["success_draw"][0]
        hold = holds(pset, np.asarray(values["launch_year"]))[0]
        seen = 1 - chance + chance * hold
        assert first.logp(vector, first.data) - second.logp(vector, second.data) == pytest.approx(np.log(seen))
        assert values["success"][0] == (luck < chance * hold / seen)
        assert np.isfinite(slope(vector, first.data)).all()


def test_a_launch_of_which_sales_were_measured_has_come() -> None:
    """What bounds it then says of its date alone."""
    pset = bounded()
    first = pset.ledger.years[0]
    of = next(row for row in pset.evidence if row.is_bound)
    sold = replace(of, id="sold", quantity="line_use", year=first + 7, value=0.1, unit="fraction", log_sd=1.0)
    model = build_model(pset.with_evidence([of, sold]))
    with model:
        assert pm.draw(model["success"], 20, random_seed=1, mode=ONCE).all()


@pytest.mark.slow
def test_the_posterior_is_that_of_weighted_draws() -> None:
    """Draws of the priors, weighted by the bounds given success, against the sampler, which has success summed out."""
    pset = bounded()
    models = (build_model(only(pset, bounds=bounds)) for bounds in (False, True))
    runs = [sample(model, Sampling(draws=4000, seed=seed)) for seed, model in enumerate(models)]
    before, after = (run["posterior"].to_dataset() for run in runs)
    years, comes, total = (
        flat(of)
        for of in (before["launch_year"].isel(launch=0), before["success"].isel(launch=0), before["revenue_total"])
    )
    weights = np.where(comes > 0, holds(pset, years), 1.0)
    weights = weights / weights.sum()
    assert (weights * comes).sum() < comes.mean() - 0.1
    assert float(after["success"].mean()) == pytest.approx((weights * comes).sum(), abs=0.02)
    late = flat(after["launch_year"].isel(launch=0)).min(axis=1)
    expected = quantile(years.min(axis=1), weights, [0.1, 0.5, 0.9])
    assert np.quantile(late, [0.1, 0.5, 0.9]) == pytest.approx(expected, abs=0.08)
    expected = quantile(total[:, -1], weights, [0.1, 0.5, 0.9])
    assert np.quantile(flat(after["revenue_total"])[:, -1], [0.1, 0.5, 0.9]) == pytest.approx(expected, rel=0.04)
