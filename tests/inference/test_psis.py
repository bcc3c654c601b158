"""Pareto-smoothed weights against ArviZ, and against densities whose ratio is known."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

from postcgrp.inference.psis import k_limit, psis, relative_efficiency, reweight

CHAINS, LENGTH = 4, 2000
SIZE = CHAINS * LENGTH


def even_draws() -> np.ndarray:
    """Standard normal draws [chain, draw] without Monte-Carlo error, in random order."""
    draws = np.random.default_rng(0).permutation(ndtri((np.arange(SIZE) + 0.5) / SIZE))
    return np.asarray(draws.reshape(CHAINS, LENGTH))


def autoregressive(seed: int, chains: int, length: int, coefficient: float) -> np.ndarray:
    draws = np.random.default_rng(seed).normal(size=(chains, length))
    for t in range(1, length):
        draws[:, t] += coefficient * draws[:, t - 1]
    return draws


@given(st.integers(0, 10**6), st.integers(30, 3000), st.floats(0.05, 3), st.floats(0.2, 1))
def test_smoothing_is_arviz_s(seed: int, size: int, scale: float, r_eff: float) -> None:
    ratio = scale * np.random.default_rng(seed).standard_t(4, size)
    weights, k = psis(ratio, r_eff)
    theirs, their_k = array_stats.psislw(-ratio, r_eff)
    assume(np.isfinite(their_k))
    assert k == pytest.approx(float(their_k), abs=1e-9)
    assert np.allclose(weights - weights.max(), theirs - theirs.max(), atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(50, 300), st.floats(-0.9, 0.9))
def test_efficiency_is_arviz_s_tail_ess(seed: int, chains: int, length: int, coefficient: float) -> None:
    draws = autoregressive(seed, chains, length, coefficient)
    theirs = float(array_stats.ess(draws, method="tail", prob=(0.05, 0.95)))
    assert relative_efficiency(draws) == pytest.approx(theirs / draws.size, rel=1e-9)


def test_weights_are_arviz_s_at_the_efficiency_of_the_tails() -> None:
    """Of autocorrelated draws, whose tail is longer than that of as many independent ones."""
    ratio = 0.3 * autoregressive(1, CHAINS, LENGTH, 0.8)
    efficiency = float(array_stats.ess(ratio, method="tail", prob=(0.05, 0.95), relative=True))
    assert efficiency < 0.5
    theirs, k = array_stats.psislw(-ratio, efficiency, axis=(-2, -1))
    weights = reweight(ratio)
    assert weights.k == pytest.approx(float(k), abs=1e-9)
    assert np.allclose(weights.values, np.exp(theirs) / np.exp(theirs).sum(), rtol=1e-9)


def test_draws_too_few_for_an_efficiency_count_as_independent() -> None:
    assert relative_efficiency(np.arange(6.0).reshape(2, 3)) == 1.0


def test_smoothing_of_what_has_no_tail_is_refused() -> None:
    assert psis(np.repeat([0.0, 1.0], 500))[1] == np.inf
    assert psis(np.array([0.0, 1.0, 2.0]))[1] == np.inf
    assert reweight(np.array([[0.0, 1.0, 2.0]])).refused


def test_a_ratio_that_many_draws_share_as_their_largest_is_not_smoothed() -> None:
    """As that of knowledge which is certain in most draws: the weights are exactly the new density over the old."""
    z = even_draws()
    weights = reweight(np.where(z > 1, z - 1, 0.0) * -2)
    assert (weights.k, weights.refused) == (-np.inf, "")
    raw = np.exp(np.where(z > 1, 2 - 2 * z, 0.0))
    assert weights.values == pytest.approx(raw / raw.sum())
    assert weights.ess == pytest.approx(raw.sum() ** 2 / (raw**2).sum())
    few = np.where(np.arange(SIZE).reshape(z.shape) < 20, 0.0, -1 - np.exp(z))  # fewer than a tail
    assert reweight(few).k != -np.inf


def test_the_limit_is_the_sample_size_s() -> None:
    assert k_limit(100) == pytest.approx(0.5)
    assert k_limit(400) == pytest.approx(1 - 1 / np.log10(400))
    assert k_limit(4000) == k_limit(100_000) == pytest.approx(0.7)


@pytest.mark.parametrize(("sd", "kept"), [(0.3, True), (4.0, False)])
def test_weights_that_cannot_be_trusted_are_refused(sd: float, kept: bool) -> None:
    weights = reweight(sd * even_draws())  # a log-normal ratio of so large an sd has no usable mean
    assert (weights.k <= weights.limit) is kept
    assert np.isfinite(weights.values).all() == np.isfinite(weights.ess) == kept
    assert weights.refused == ("" if kept else f"Pareto k {weights.k:.2f} is above 0.70")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_ratio_that_is_not_finite_is_refused(value: float) -> None:
    lost = reweight(np.where(even_draws() > 3, value, 0.0))
    assert lost.refused == f"the log ratio is not finite in {(even_draws() > 3).sum()} of {SIZE} draws"
    assert np.isnan(lost.values).all()


def test_draws_that_the_new_density_rules_out_have_no_weight() -> None:
    """From N(0, 1) to N(0.5, 0.9) above zero: what is left has its weights, and only it counts."""
    z = even_draws()
    log = -(((z - 0.5) / 0.9) ** 2) / 2 + z**2 / 2
    weights = reweight(np.where(z > 0, log, -np.inf))
    assert weights.refused == ""
    assert (weights.values[z <= 0] == 0).all()
    assert weights.values.sum() == pytest.approx(1)
    assert (weights.values * z).sum() == pytest.approx(stats.truncnorm(-0.5 / 0.9, np.inf, 0.5, 0.9).mean(), abs=0.01)
    equal = reweight(np.where(z > 0, 0.0, -np.inf))
    assert (equal.ess, equal.refused) == (float((z > 0).sum()), "")


def test_too_few_possible_draws_are_refused() -> None:
    few = reweight(np.where(even_draws() > 3, 0.0, -np.inf))
    assert few.refused == f"{(even_draws() > 3).sum()} of {SIZE} draws are possible, too few"
    none = reweight(np.full((CHAINS, LENGTH), -np.inf))
    assert none.refused == f"0 of {SIZE} draws are possible, too few"
    assert np.isnan(none.values).all()


def test_equal_densities_leave_the_draws_as_they_are() -> None:
    same = reweight(np.full((CHAINS, LENGTH), 7.0))
    assert same.values == pytest.approx(np.full((CHAINS, LENGTH), 1 / SIZE))
    assert (same.ess, same.k, same.refused) == (SIZE, -np.inf, "")


def test_weights_are_those_of_the_new_density() -> None:
    """From N(0, 1) to N(0.5, 0.9): the mean and the variance come out, and the effective size is the exact one."""
    z = even_draws()
    weights = reweight(-(((z - 0.5) / 0.9) ** 2) / 2 + z**2 / 2)
    mean = (weights.values * z).sum()
    assert weights.values.sum() == pytest.approx(1)
    assert mean == pytest.approx(0.5, abs=0.01)
    assert (weights.values * (z - mean) ** 2).sum() == pytest.approx(0.81, rel=0.02)
    x = np.linspace(-8, 8, 100_001)
    ratio = np.exp(-(((x - 0.5) / 0.9) ** 2) / 2 + x**2 / 2) / 0.9
    mean_square = np.trapezoid(ratio**2 * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), x)
    assert weights.ess == pytest.approx(SIZE / mean_square, rel=0.05)
