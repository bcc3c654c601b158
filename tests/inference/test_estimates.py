"""Estimates under weights and their errors: against NumPy, and against their spread over replications."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.inference.estimates import quantile, quantile_error, weighted_summary

CHAINS = 4
VALUES = arrays(float, st.integers(2, 60), elements=st.floats(-1e6, 1e6))


@given(VALUES, st.floats(0, 1))
def test_quantiles_under_equal_weights_are_numpy_s(values: np.ndarray, probability: float) -> None:
    expected = np.quantile(values, probability)
    assert quantile(values, np.ones(len(values)), probability) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_quantiles_know_no_direction(seed: int, probability: float) -> None:
    x, w = np.random.default_rng(seed).gamma(1.0, size=(2, 25))
    assert quantile(-x, w, 1 - probability) == pytest.approx(-quantile(x, w, probability), abs=1e-9)


def test_monte_carlo_errors_are_the_spread_over_replications() -> None:
    """Of autocorrelated draws, whose error is twice that of independent ones."""
    rng, rho = np.random.default_rng(2), 0.6
    estimates: list[Any] = []
    errors: list[Any] = []
    for _ in range(200):
        x = np.empty((CHAINS, 500))
        x[:, 0] = rng.normal(size=CHAINS)
        for i in range(1, 500):
            x[:, i] = rho * x[:, i - 1] + np.sqrt(1 - rho**2) * rng.normal(size=CHAINS)
        w = np.exp(0.5 * x) / np.exp(0.5 * x).sum()
        estimates.append([x.mean(), quantile(x, w, 0.5), quantile(x, w, 0.95)])
        errors.append([mcse_mean(x), quantile_error(x, w, 0.5), quantile_error(x, w, 0.95)])
    assert np.mean(errors, axis=0) / np.std(estimates, axis=0) == pytest.approx(1, abs=0.15)


def test_a_summary_under_equal_weights_is_numpy_s() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=(CHAINS, 25))
    found = weighted_summary(values, np.full(values.shape, 1 / values.size))
    assert list(found) == ["mean", "sd", "q05", "q50", "q95"]
    expected = [values.mean(), values.std(), *np.quantile(values, [0.05, 0.5, 0.95])]
    assert list(found.values()) == pytest.approx(expected)


def test_a_summary_leaves_out_draws_of_no_weight() -> None:
    found = weighted_summary(np.array([1.0, 3.0, 100.0]), np.array([0.5, 0.5, 0.0]))
    assert (found["mean"], found["sd"]) == pytest.approx((2.0, 1.0))


def test_weights_that_were_refused_have_no_summary() -> None:
    assert np.isnan(list(weighted_summary(np.arange(4.0), np.full(4, np.nan)).values())).all()
