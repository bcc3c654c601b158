"""A model as a sampler sees it: its outline, and draws by its programs that have the distribution of PyMC's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest
from scipy.stats import ks_2samp

from postcgrp.inference import Sampling, prepare
from postcgrp.inference.calibrate import draw_truths, simulate, unconstrained
from postcgrp.inference.evaluate import POINTS
from postcgrp.inference.forward import draw_prior, drawable, observed_sampler
from postcgrp.inference.programs import Programs
from postcgrp.inference.target import OUTLINE, Target
from postcgrp.models.shapes import Sticks
from postcgrp.priors import PriorSet
from postcgrp.tests.helpers.blueprints import forecast_target, named

pytestmark = pytest.mark.fit

DRAWS = 4000
LEVEL = 1e-4  # chance that all comparisons of one test together fail by accident


def kinds() -> pm.Model:
    """Every family that our models have, with hyperparameters as data, and variables that depend on others."""
    with pm.Model(coords={"case": range(3)}) as model:
        centre = pm.Data("centre", np.array([1.0, -2.0, 0.5]), dims="case")
        normal = pm.Normal("normal", centre, 2.0, dims="case")
        spread = pm.LogNormal("spread", -1.0, 0.3)
        pm.Normal("follows", normal.sum(), spread)
        pm.StudentT("heavy", nu=4, mu=centre, sigma=1.5, dims="case")
        pm.Uniform("chance", -1.0, 3.0)
        pm.Dirichlet("shares", np.array([2.0, 3.0, 4.0]), default_transform=Sticks())
        pm.Normal("seen", normal, spread, observed=pm.Data("values", np.zeros(3), dims="case"), dims="case")
        told = pm.Data("told", np.int32(1))
        pm.Bernoulli("held", pm.math.sigmoid(normal[0]), observed=told, dtype=told.dtype)
        pm.Deterministic("both", normal * spread, dims="case")
    return model


@pytest.fixture(scope="module")
def model() -> pm.Model:
    return kinds()


def target(of: Any, key: str | None = None) -> Target:
    return Target(of, lambda data: Programs(key, None, data))


def flat(points: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([values.reshape(len(values), -1) for values in points.values()], axis=1)


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Each column has the same distribution, and each pair of columns the same correlation."""
    columns = ours.shape[1]
    worst = min(ks_2samp(ours[:, k], theirs[:, k]).pvalue for k in range(columns))
    assert worst > LEVEL / columns
    ranks = [x.argsort(axis=0).argsort(axis=0) for x in (ours, theirs)]
    apart = np.corrcoef(ranks[0].T) - np.corrcoef(ranks[1].T)
    assert np.abs(apart).max() < 5.5 * np.sqrt(2 / len(ours))


def test_prior_draws_have_the_distribution_of_pymc_s(model: pm.Model) -> None:
    ours = target(model).prior(DRAWS, 1)
    theirs = draw_prior(model, DRAWS, 2)
    assert [*theirs] == [*target(model).outline.shapes]
    assert_alike(ours, flat(theirs))


@pytest.mark.slow
def test_prior_draws_of_the_report_have_the_distribution_of_pymc_s(pset: PriorSet) -> None:
    of = forecast_target(pset)
    assert_alike(of.prior(DRAWS, 1), flat(draw_prior(of.model, DRAWS, 2)))


def test_other_data_move_the_prior_draws(model: pm.Model) -> None:
    before, after = (target(named(model, "kinds")) for _ in range(2))
    after.data |= {"centre": before.data["centre"] + 10}
    moved = after.prior(500, 1) - before.prior(500, 1)
    names = [name for name, shape in before.outline.shapes.items() for _ in range(int(np.prod(shape)))]
    of_centre = [name.startswith(("normal", "heavy", "follows")) for name in names]
    assert np.all(moved[:, of_centre] > 9)
    assert np.allclose(moved[:, np.logical_not(of_centre)], 0)


def test_a_larger_number_begins_with_a_smaller(model: pm.Model) -> None:
    of = target(model)
    few, many = of.prior(POINTS + 50, 3), of.prior(3 * POINTS, 3)
    np.testing.assert_array_equal(few, many[: len(few)])
    assert len(np.unique(many[:, 0])) == len(many)
    assert not np.array_equal(of.prior(10, 4), many[:10])


@pytest.fixture(scope="module")
def batch(model: pm.Model) -> Any:
    return prepare(model, Sampling(tune=20, prior_draws=200), lanes=1)


def test_simulated_data_have_the_distribution_of_pymc_s(model: pm.Model, batch: Any) -> None:
    points = np.repeat(draw_truths(batch, 2, 1), DRAWS, axis=0)
    ours = simulate(batch, points, 5)
    values = batch.outline.flat.split(points)
    normal, spread = values["normal"], np.exp(values["spread_log__"])
    theirs = observed_sampler(model, ["normal", "spread"])({"normal": normal, "spread": spread}, 6)
    for half in (slice(DRAWS), slice(DRAWS, None)):  # at one point and at the other
        assert_alike(ours["values"][half], theirs["seen"][half])
        assert ours["told"][half].mean() == pytest.approx(theirs["held"][half].mean(), abs=5 * 0.5 / DRAWS**0.5)
    assert ours["told"].dtype == np.int32


def test_free_draws_go_back_to_their_points(batch: Any) -> None:
    points = draw_truths(batch, 300, 7)
    values = batch.outline.flat.split(points)
    free = {name: values[value] for name, value in batch.outline.free.items() if name in values}
    odds = np.exp(np.pad(np.cumsum(-np.log1p(np.exp(values["shares_sticks__"])), axis=1), ((0, 0), (1, 0))))
    free |= {
        "spread": np.exp(values["spread_log__"]),
        "chance": -1 + 4 / (1 + np.exp(-values["chance_interval__"])),
        "shares": np.concatenate([odds[:, :-1] - odds[:, 1:], odds[:, -1:]], axis=1),
    }
    assert np.allclose(unconstrained(batch, free), points)


def test_counts_and_mixtures_are_left_to_pymc(model: pm.Model) -> None:
    assert drawable(model)
    with pm.Model() as counts:
        pm.Poisson("count", pm.LogNormal("rate"), observed=pm.Data("n", 3))
    with pm.Model() as mixed:
        pm.NormalMixture("x", [0.5, 0.5], [-1, 1], 1)
    assert not drawable(counts)
    assert not drawable(mixed)


def test_an_outline_is_read_back_as_it_was(model: pm.Model, cache: Path) -> None:
    made = target(named(model, "outline"), "outline").outline
    unbuilt = replace(named(model, "outline"), build=lambda: pytest.fail("its outline is stored"))
    assert target(unbuilt, "outline").outline == made
    assert made.free["spread"] == "spread_log__"
    assert made.natural["shares"] == (3,)
    assert made.shapes["shares_sticks__"] == (2,)
    assert made.observed == {"seen": "values", "held": "told"}
    assert made.dims["both"] == ("case",)
    assert made.constants == ("centre",)


@pytest.mark.parametrize("damage", ["cut short", "empty", "backwards"])
def test_a_damaged_outline_is_made_again(model: pm.Model, cache: Path, damage: str) -> None:
    made = target(named(model, "outline"), "outline").outline
    [path] = cache.glob(f"*/{OUTLINE}")
    content = path.read_bytes()
    path.write_bytes({"cut short": content[:-5], "empty": b"", "backwards": content[::-1]}[damage])
    assert target(named(model, "outline"), "outline").outline == made


def test_an_outline_for_data_of_another_shape_is_made_again(model: pm.Model, cache: Path) -> None:
    first = target(named(model, "outline"), "outline")
    assert first.outline.natural["normal"] == (3,)
    with pm.Model() as wider:
        pm.Normal("normal", pm.Data("centre", np.zeros(5)), 2.0, shape=5)
    assert target(named(wider, "outline"), "outline").outline.natural["normal"] == (5,)
