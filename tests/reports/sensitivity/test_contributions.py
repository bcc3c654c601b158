"""What each factor moves on the path from one run to another: against closed forms of Gaussian draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcgrp.reports.sensitivity.comparison import (
    contributions,
    least_ess,
    path_weights,
)

pytestmark = pytest.mark.fit

SIZE = 20_000


def gaussian(seed: int, shift: tuple[float, ...], kappa: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draws of a standard normal and of one tilted by two linear factors and one quadratic, and the log ratios."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(SIZE, 3))
    second = rng.normal(size=(SIZE, 3)) * [1, 1, (1 + kappa) ** -0.5] + [*shift, 0]
    ratio = [np.column_stack([np.zeros(SIZE), x[:, :2] * shift, -kappa * x[:, 2] ** 2 / 2]) for x in (first, second)]
    return [first, second], ratio


def test_gaussian_contributions_have_their_closed_form() -> None:
    shift, kappa, load = (0.8, -0.5), 2.0, np.array([2.0, 1.0, 3.0])
    draws, ratio = gaussian(0, shift, kappa)
    parts, error = contributions([(x @ load)[:, None] for x in draws], ratio)
    moves, widens = parts[:, 0, 0], parts[:, 1, 0]
    assert np.all(abs(moves - [2 * 0.8, -0.5, 0, 0]) < 4 * error[:, 0, 0])
    shrinks = np.sqrt(5 + 9 / (1 + kappa)) - np.sqrt(14)
    assert np.all(abs(widens - [0, 0, shrinks, 0]) < 4 * error[:, 1, 0])
    assert error.max() < 0.06
    total = [float((x @ load).mean()) for x in draws]
    assert moves.sum() == pytest.approx(total[1] - total[0], abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2), st.floats(0, 5))
def test_the_way_back_is_the_way_with_the_other_sign(seed: int, shift: float, kappa: float) -> None:
    draws, ratio = ([x[:400] for x in part] for part in gaussian(seed, (shift, 0.3), kappa))
    there, errors = contributions(draws, ratio)
    back, same = contributions(draws[::-1], [-x for x in ratio[::-1]])
    assert np.allclose(there, -back, atol=1e-8)
    assert np.allclose(errors, same, atol=1e-8)


def test_errors_are_the_spread_over_replications() -> None:
    found = []
    for seed in range(40):
        draws, ratio = ([x[:500] for x in part] for part in gaussian(seed, (0.5, 0.3), 1.0))
        found.append(contributions([x.sum(axis=1, keepdims=True) for x in draws], ratio))
    spread = np.std([parts for parts, _ in found], axis=0)
    assert np.mean([errors for _, errors in found], axis=0) / spread == pytest.approx(1, abs=0.35)


def test_weights_on_the_path_are_those_of_the_density_between() -> None:
    draws, ratio = gaussian(1, (1.5, 0.0), 0.0)
    draws[1], ratio[1] = draws[1][: SIZE // 5], ratio[1][: SIZE // 5]  # runs of two lengths
    weights, x = path_weights(*ratio), np.concatenate(draws)[:, 0]
    assert weights.sum(axis=1) == pytest.approx(1)
    middle = (np.polynomial.legendre.leggauss(len(weights))[0] + 1) / 2
    assert weights @ x == pytest.approx(1.5 * middle, abs=0.05)
    apart = gaussian(1, (12.0, 0.0), 0.0)[1]
    assert least_ess(*apart) < 100 < least_ess(*ratio)
