"""From a range to a prior: exact mass, equal tails, and an order that holds without moving a marginal."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.stats import multivariate_normal, norm

from postcgrp.priors import InputError, Prior, coupling, from_range
from postcgrp.priors.catalogue import Family
from postcgrp.priors.elicit import LINK, REVERSAL, _standard_quantile, expit, logit

FAMILIES: tuple[Family, ...] = ("normal", "lognormal", "logitnormal")
ENDS = {"normal": (-1e3, 1e3), "lognormal": (1e-6, 1e9), "logitnormal": (1e-6, 1 - 1e-6)}
quick = settings(deadline=None, max_examples=100, derandomize=True)


def prior(mu: float, sd: float, family: Family = "logitnormal") -> Prior:
    return Prior(f"at {mu:g}", family, mu, sd, "fraction", "test", "test")


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float, float, Family]:
    family = draw(st.sampled_from(FAMILIES))
    low, high = sorted(draw(st.lists(st.floats(*ENDS[family]), min_size=2, max_size=2)))
    assume(high - low > 1e-6 * max(abs(low), abs(high), 1e-3))
    return low, high, family


@st.composite
def rising(draw: st.DrawFn) -> tuple[Prior, ...]:
    """Priors whose order some correlation can keep: each lies further above the last than their widths differ."""
    mu, sd, out = 0.0, draw(st.floats(0.02, 1.0)), []
    for _ in range(draw(st.integers(1, 5))):
        out.append(prior(mu, sd))
        wider = draw(st.floats(0.02, 1.0))
        mu += (abs(wider - sd) + draw(st.floats(0.0, 1.0)) + 1e-9) * float(-norm.ppf(REVERSAL))
        sd = wider
    return tuple(out)


@quick
@given(ranges(), st.floats(0.01, 0.999))
def test_a_range_holds_exactly_its_coverage_with_equal_tails(
    said: tuple[float, float, Family], coverage: float
) -> None:
    low, high, family = said
    mu, sd = from_range(low, high, coverage, family)
    made = prior(mu, sd, family)
    assert sd > 0
    assert float(made.cdf(low)) == pytest.approx((1 - coverage) / 2, abs=1e-9)
    assert 1 - float(made.cdf(high)) == pytest.approx((1 - coverage) / 2, abs=1e-9)
    tails = made.quantile([(1 - coverage) / 2, (1 + coverage) / 2])
    assert tails == pytest.approx([low, high], rel=1e-6, abs=1e-6)


@quick
@given(ranges(), st.floats(0.1, 0.9))
def test_more_coverage_makes_a_narrower_prior(said: tuple[float, float, Family], coverage: float) -> None:
    low, high, family = said
    assert from_range(low, high, coverage + 0.05, family)[1] < from_range(low, high, coverage, family)[1]


@pytest.mark.parametrize(
    ("low", "high", "family"),
    [(0.0, 0.5, "logitnormal"), (0.5, 1.0, "logitnormal"), (0.0, 5.0, "lognormal"), (-1.0, 5.0, "lognormal"),
     (3.0, 3.0, "normal"), (3.0, 2.0, "normal"), (math.nan, 1.0, "normal"), (1.0, math.inf, "lognormal")],
)  # fmt: skip
def test_a_range_outside_the_support_is_refused(low: float, high: float, family: Family) -> None:
    with pytest.raises(
        InputError, match=rf"range {low:g}\.\.{high:g} has no {family} prior: use ends inside its support"
    ):
        from_range(low, high, 0.9, family)


@quick
@given(rising(), st.floats(0.0, 0.999))
def test_coupling_leaves_marginals_and_keeps_the_order(priors: tuple[Prior, ...], correlation: float) -> None:
    lower = coupling(priors, correlation)
    matrix = lower @ lower.T
    assert np.allclose(np.triu(lower, 1), 0)
    assert np.allclose(np.diag(matrix), 1, atol=1e-9)
    assert np.all(np.abs(matrix) <= 1 + 1e-9)
    for k, (below, above) in enumerate(pairwise(priors)):
        assert matrix[k, k + 1] >= correlation - 1e-9
        spread = math.sqrt(max(below.sd**2 + above.sd**2 - 2 * matrix[k, k + 1] * below.sd * above.sd, 0))
        if spread > 1e-5:
            assert norm.cdf((below.mu - above.mu) / spread) <= REVERSAL * 1.001
        if matrix[k, k + 1] > correlation + 1e-6 and spread > 1e-3:  # no more than is needed
            assert norm.cdf((below.mu - above.mu) / spread) == pytest.approx(REVERSAL, rel=0.01)


@quick
@given(st.floats(0.05, 1.0), st.floats(0.05, 1.0), st.floats(0.0, 0.99))
def test_an_order_that_no_correlation_keeps_is_refused(first: float, second: float, correlation: float) -> None:
    assume(abs(first - second) > 0.01)
    apart = 0.9 * abs(first - second) * float(-norm.ppf(REVERSAL))
    with pytest.raises(InputError, match="the second does not lie above the first and must not fall: raise it"):
        coupling((prior(0.0, first), prior(apart, second)), correlation)
    with pytest.raises(InputError, match=r"at 1 and at 0: .* must not fall"):
        coupling((prior(1.0, first), prior(0.0, first)), correlation)


def test_coupled_draws_fall_as_seldom_as_promised() -> None:
    """The same by sampling, for ranges that overlap."""
    priors = (prior(0.0, 0.5), prior(0.6, 0.6), prior(0.9, 0.6))
    lower = coupling(priors, 0.5)
    z = multivariate_normal(np.zeros(3), lower @ lower.T, seed=1).rvs(200_000)
    level = np.array([p.mu for p in priors]) + z * [p.sd for p in priors]
    for k, p in enumerate(priors):
        assert level[:, k].std() == pytest.approx(p.sd, rel=0.01)
        assert level[:, k].mean() == pytest.approx(p.mu, abs=0.01)
    fallen = (np.diff(level, axis=1) < 0).mean(axis=0)
    assert fallen == pytest.approx([REVERSAL, REVERSAL], abs=4 * math.sqrt(REVERSAL / 200_000))


@pytest.mark.parametrize("family", LINK)
def test_the_density_is_the_slope_of_the_distribution_function(family: Family) -> None:
    prior = Prior("x", family, -0.3, 0.4, "count", "", "")
    at = prior.quantile([0.02, 0.3, 0.6, 0.97])
    step = 1e-5
    slope = np.log((prior.cdf(at + step) - prior.cdf(at - step)) / (2 * step))
    off = prior.log_density(at) - slope
    assert off == pytest.approx(np.full(4, off[0]), abs=1e-6)  # up to a constant


@quick
@given(st.floats(0.0, 1.0), st.floats(-800.0, 800.0))
def test_log_odds_are_scipys(fraction: float, log_odds: float) -> None:
    assert logit(fraction) == pytest.approx(special.logit(fraction), rel=1e-14, abs=1e-15)
    assert expit(log_odds) == pytest.approx(special.expit(log_odds), rel=1e-14, abs=0)


def test_a_share_outside_its_limits_has_no_log_odds() -> None:
    assert logit([0.0, 1.0]).tolist() == [-math.inf, math.inf]
    assert np.isnan(logit([-0.1, 1.1])).all()


@quick
@given(st.floats(1e-6, 1 - 1e-6))
def test_one_quantile_is_that_of_several(probability: float) -> None:
    """One number is found by Python itself, several by SciPy, which takes a while to import."""
    one, several = _standard_quantile("normal", probability), _standard_quantile("normal", np.array([probability]))
    assert one == pytest.approx(several[0], rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 1 - 1e-16, -0.5, 90.0, math.nan])
def test_a_coverage_that_is_none_is_refused(coverage: float) -> None:
    with pytest.raises(InputError, match="is not inside"):
        from_range(0.2, 0.4, coverage, "logitnormal")
