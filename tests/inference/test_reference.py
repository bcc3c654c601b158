"""The normal that trajectories turn by: exact arithmetic, and what is learned of it from draws."""

from __future__ import annotations

from functools import partial
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.mcmc.hmc import HMCState
from blackjax.mcmc.integrators import IntegratorState
from blackjax.mcmc.metrics import LowRankInverseMassMatrix
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from postcgrp.inference.numerics import FLOAT
from postcgrp.inference.reference import Reference, add, first_reference, learned, no_draws, rotating

SIZE, DIRECTIONS = 12, 3
ADD = jax.jit(add)


def reference(seed: int) -> Reference:
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.normal(size=(SIZE, DIRECTIONS)))
    parts = rng.normal(size=SIZE), rng.lognormal(size=SIZE), directions, rng.uniform(0.05, 1, DIRECTIONS)
    return Reference(*(jnp.asarray(part, FLOAT) for part in parts))


def covariance(of: Reference) -> NDArray[np.float64]:
    return np.stack([np.asarray(of.covariance_times(unit)) for unit in jnp.eye(of.centre.size)])


def log_density(of: Reference, x: Any) -> Any:
    away = x - of.centre
    return -away @ of.precision_times(away) / 2


@jax.jit
def stepped(of: Reference, target: Reference, state: IntegratorState, step_size: float) -> IntegratorState:
    return rotating(of)(partial(log_density, target), None)(state, step_size)


@jax.jit
def at(target: Reference, x: Any, momentum: Any) -> IntegratorState:
    return IntegratorState(x, momentum, *jax.value_and_grad(partial(log_density, target))(x))


def begun(of: Reference, target: Reference, seed: int) -> IntegratorState:
    away, momentum = np.random.default_rng(seed).normal(size=(2, SIZE))
    return at(target, of.centre + away, jnp.asarray(momentum))


def energy(of: Reference, state: IntegratorState) -> float:
    return float(state.momentum @ of.covariance_times(state.momentum) / 2 - state.logdensity)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), step_size=st.floats(0.01, 3.0))
def test_a_step_costs_no_energy_where_the_density_is_the_reference(seed: int, step_size: float) -> None:
    of = reference(seed)
    state = begun(of, of, seed)
    moved = stepped(of, of, state, step_size)
    assert energy(of, moved) == pytest.approx(energy(of, state), rel=1e-9)
    turned = of.centre + np.cos(step_size) * (state.position - of.centre)
    turned += np.sin(step_size) * of.covariance_times(state.momentum)
    np.testing.assert_allclose(moved.position, turned, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), step_size=st.floats(0.01, 0.8))
def test_steps_can_be_taken_back_whatever_the_density(seed: int, step_size: float) -> None:
    """Reversible, and so the acceptance of Hamiltonian Monte Carlo is right."""
    of, target = reference(seed), reference(seed + 1)
    target = target._replace(scale=1 + target.scale)
    state = begun(of, target, seed)
    there = stepped(of, target, stepped(of, target, state, step_size), step_size)
    back = there._replace(momentum=-there.momentum)
    back = stepped(of, target, stepped(of, target, back, step_size), step_size)
    size = 1 + np.abs(there.position).max() + np.abs(there.momentum).max()
    np.testing.assert_allclose(back.position, state.position, atol=1e-9 * size)
    np.testing.assert_allclose(-back.momentum, state.momentum, atol=1e-9 * size)


def test_a_step_off_a_cliff_is_refused() -> None:
    """Its kinetic energy may be minus infinity: a fused multiplication adds minus infinity to what would overflow."""
    of = reference(3)
    transition = blackjax.hmc.build_kernel(rotating(of))
    metric = LowRankInverseMassMatrix(*of[1:])

    def cliff(x: Any) -> Any:
        away = x - of.centre
        return -((away[0] + jnp.exp(50 * away[1])) ** 2) / 2

    start = of.centre - 1.0
    density, gradient = jax.value_and_grad(cliff)(start)
    fallen = rotating(of)(cliff, None)(IntegratorState(start, jnp.ones(SIZE), density, gradient), 0.8)
    assert float(cliff(fallen.position)) < -1e100
    assert fallen.logdensity == -np.inf
    moved, told = jax.vmap(lambda key: transition(key, HMCState(start, density, gradient), cliff, 0.8, metric, 1))(
        jax.random.split(jax.random.key(1), 100)
    )
    fell = np.asarray(told.is_divergent)
    assert 0.1 < fell.mean() < 0.9
    assert (np.asarray(moved.position)[fell] == np.asarray(start)).all()


def test_precision_is_the_inverse_of_the_covariance() -> None:
    of = reference(5)
    inverse = np.stack([np.asarray(of.precision_times(unit)) for unit in jnp.eye(SIZE)])
    np.testing.assert_allclose(covariance(of) @ inverse, np.eye(SIZE), atol=1e-10)
    margins = np.sqrt(np.diag(covariance(of)))
    assert (margins <= of.scale + 1e-12).all()


def after_windows(draws: NDArray[np.float64], precision: NDArray[np.float64], first: Reference) -> Reference:
    """What is learned in three windows of draws of a normal around zero with this precision."""
    for window in np.split(draws, [len(draws) // 7, 3 * len(draws) // 7]):
        sums = no_draws(first)
        for x in jnp.asarray(window):
            sums = ADD(sums, first, x, -precision @ x)
        first = learned(sums, first)
    return first


def test_narrow_directions_are_found_and_margins_kept() -> None:
    """A sum that is known ten times better than its parts, in units a thousandfold apart."""
    rng, units = np.random.default_rng(1), np.logspace(-2, 1, SIZE)
    known = np.r_[np.ones(4), np.zeros(SIZE - 4)] / 2
    precision = (np.eye(SIZE) + 99 * np.outer(known, known)) / np.outer(units, units)
    truth = np.linalg.inv(precision)
    draws = rng.multivariate_normal(np.zeros(SIZE), truth, 700)
    found = after_windows(draws, precision, first_reference(jnp.ones(SIZE), jnp.ones(SIZE)))
    assert found.variance.min() == pytest.approx(0.01, rel=0.5)
    assert np.sort(found.variance)[1] > 0.3
    np.testing.assert_allclose(np.diag(covariance(found)), np.diag(truth), rtol=0.2)
    root = np.linalg.cholesky(precision)
    apart = np.linalg.eigvalsh(root.T @ covariance(found) @ root)
    assert apart.min() > 0.5
    assert apart.max() < 2
    np.testing.assert_allclose(found.centre / units, 0, atol=0.2)


def test_independent_margins_have_no_narrow_direction() -> None:
    rng, units = np.random.default_rng(2), np.logspace(-2, 1, SIZE)
    found = after_windows(
        units * rng.normal(size=(700, SIZE)), np.diag(units**-2), first_reference(jnp.zeros(SIZE), jnp.ones(SIZE))
    )
    assert (found.variance == 1).all()


def test_chains_that_did_not_move_shrink_the_scale() -> None:
    first = first_reference(jnp.zeros(2), jnp.ones(2))
    sums = no_draws(first)
    for _ in range(40):
        sums = ADD(sums, first, jnp.ones(2), jnp.zeros(2))
    found = learned(sums, first)
    assert (found.scale < 1e-6).all()
    assert np.isfinite(np.concatenate([np.ravel(part) for part in found])).all()
