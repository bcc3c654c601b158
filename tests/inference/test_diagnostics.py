"""R-hat and effective sample sizes against arviz_stats, quantity by quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arviz_stats import ess, mcse, rhat
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from postcgrp.inference.diagnostics import DRAWS_AT_A_TIME, TAIL_PROBABILITIES, diagnostics, ess_mean, mcse_mean

Array = NDArray[np.float64]


def assert_like_arviz(draws: NDArray[np.generic]) -> None:
    with np.errstate(all="ignore"):
        known = rhat(draws), ess(draws, method="bulk"), ess(draws, method="tail", prob=TAIL_PROBABILITIES)
    figures = diagnostics(draws)
    for name, ours, theirs in zip(figures._fields, figures, known, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=0, err_msg=name)  # NaN where theirs is NaN


def autoregressive(noise: Array, coefficient: float) -> Array:
    draws: Array = noise / (1 - coefficient**2) ** 0.5
    for t in range(1, draws.shape[1]):
        draws[:, t] = coefficient * draws[:, t - 1] + noise[:, t]
    return draws


def rejecting(noise: Array, rejected: NDArray[np.bool_]) -> Array:
    """A chain that stays where it is when it is rejected, in all quantities at once."""
    draws = noise.copy()
    for t in range(1, draws.shape[1]):
        draws[:, t] = np.where(rejected[:, t, None], draws[:, t - 1], draws[:, t])
    return draws


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def changed(draws: Array, where: Any, value: float) -> Array:
    draws = draws.copy()
    draws[where] = value
    return draws


E = normal(4, 200, 3)
STUCK = np.random.default_rng(1).random((4, 200)) < 0.6
ALL = slice(None)
CASES: dict[str, NDArray[np.generic]] = {
    "independent": E,
    "autocorrelated": autoregressive(E, 0.9),
    "antithetic": autoregressive(E, -0.8),
    "perfectly antithetic": E * 0.01 + (-1.0) ** np.arange(200)[:, None],
    "heavy tails": E / normal(4, 200, 3, seed=2),
    "rejections": rejecting(E, STUCK),
    "integers": np.round(2 * E).astype(int),
    "two values, as often": (np.median(E, axis=(0, 1)) < E).astype(float),  # folds to a constant
    "two values": (E > 0.5).astype(float),
    "mostly one value": np.maximum(E, 0.5),
    "odd number of draws": autoregressive(normal(4, 201, 3), 0.7),
    "trend": E + np.linspace(0, 2, 200)[:, None],
    "other means": E + np.arange(4)[:, None, None],
    "other spreads": E * np.array([1, 1, 1, 3])[:, None, None],
    "a constant quantity": changed(E, (ALL, ALL, 1), 1.1),
    "a constant chain": changed(E, (2,), 0.3),
    "a NaN": changed(E, (3, 17, 1), np.nan),
    "an infinity": changed(E, (3, 17, 1), np.inf),
    "both infinities": changed(changed(E, (3, 17, 1), np.inf), (1, ALL, 1), -np.inf),
    "mostly infinite": changed(E, E > -0.2, np.inf),  # an infinite median
    "one quantity, no dimension": E[..., 0],
    "more than a block": autoregressive(normal(2, 50, DRAWS_AT_A_TIME // 600, 9), 0.5),
    **{f"{chains} chains": autoregressive(normal(chains, 150, 2), 0.5) for chains in (1, 2, 3, 8)},
    **{f"{length} draws": normal(4, length, 5) for length in range(2, 14)},
    **{f"{length} draws, antithetic": autoregressive(normal(3, length, 5), -0.8) for length in range(4, 14)},
}


@pytest.mark.parametrize("case", CASES)
def test_the_figures_are_those_of_arviz(case: str) -> None:
    assert_like_arviz(CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_the_error_of_a_mean_is_arviz_s(case: str) -> None:
    draws = CASES[case]
    if draws.shape[1] < 4:
        return
    for quantity in np.moveaxis(draws.reshape(*draws.shape[:2], -1), -1, 0):
        with np.errstate(all="ignore"):
            known = float(ess(quantity, method="mean")), float(mcse(quantity, method="mean"))
            np.testing.assert_allclose((ess_mean(quantity), mcse_mean(quantity)), known, rtol=1e-9, atol=1e-12)


# Fixed examples: where two autocorrelations sum to exactly zero, which happens to indicators of a dozen draws in one of
# some ten thousand, rounding decides where the sum over lags ends, in arviz as here.
@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    chains=st.sampled_from([1, 2, 3, 4, 8]),
    length=st.integers(4, 80),
    shape=st.lists(st.integers(1, 3), max_size=2),
    coefficient=st.floats(-0.95, 0.95),
    stuck=st.sampled_from([0.0, 0.1, 0.7]),
    power=st.sampled_from([1, 3]),
    apart=st.sampled_from([0.0, 0.5]),
)
def test_the_figures_are_those_of_arviz_for_any_shape(
    seed: int,
    chains: int,
    length: int,
    shape: list[int],
    coefficient: float,
    stuck: float,
    power: int,
    apart: float,
) -> None:
    rng = np.random.default_rng(seed)
    draws = autoregressive(rng.normal(size=(chains, length, *shape)), coefficient) ** power
    draws = rejecting(draws.reshape(chains, length, -1), rng.random((chains, length)) < stuck).reshape(draws.shape)
    assert_like_arviz(draws + apart * np.arange(chains).reshape(-1, *[1] * (draws.ndim - 1)))


@pytest.mark.parametrize("coefficient", [-0.4, 0.0, 0.5, 0.8])
def test_bulk_ess_of_a_process_with_a_known_one(coefficient: float) -> None:
    """An AR(1) of N draws is worth N (1 - c) / (1 + c). 6 %: a bias of 2 % and four standard errors of the mean."""
    draws = autoregressive(normal(4, 1000, 100), coefficient)
    exact = 4000 * (1 - coefficient) / (1 + coefficient)
    assert float(diagnostics(draws).ess_bulk.mean()) == pytest.approx(exact, rel=0.06)


def test_no_quantities_have_no_figures() -> None:
    assert [figure.shape for figure in diagnostics(np.empty((4, 100, 0, 3)))] == [(0, 3)] * 3


def test_the_draws_are_left_alone() -> None:
    draws = normal(4, 100, 3)
    draws.flags.writeable = False
    diagnostics(draws)


def test_a_variance_that_underflows_is_that_of_a_constant() -> None:
    draws = np.zeros((1, 40))
    draws[0, 0] = 8.3e-307
    assert ess_mean(draws) == draws.size
    assert mcse_mean(draws) == 0.0
