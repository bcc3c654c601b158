"""Decisions on draws: closed forms of expected loss and certainty equivalents, and verdicts that can fail."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from postcgrp.priors import InputError
from postcgrp.reports.valuation.decision import (
    CARA,
    CLOSE,
    CRRA,
    NO,
    YES,
    Neutral,
    View,
    as_decision,
    decision_table,
    mc_error,
    risk_averse,
    robustness,
)
from postcgrp.reports.valuation.information import evpi

Array = NDArray[np.float64]


def even(n: int = 2**14, seed: int = 1) -> Array:
    return np.asarray(norm.ppf(qmc.Sobol(1, seed=seed).random(n)[:, 0]))


def invest(gain: Array) -> pd.DataFrame:
    return pd.DataFrame({"pass": np.zeros_like(gain), "invest": gain})


def test_a_normal_gain_has_the_expected_loss_of_the_textbook() -> None:
    mean, sd = 0.4, 2.0
    found = decision_table(invest(mean + sd * even())).set_index("alternative")
    loss = sd * (norm.pdf(mean / sd) - mean / sd * norm.sf(mean / sd))
    assert list(found.index) == ["invest", "pass"]
    assert found.loc["invest", "expected"] == pytest.approx(mean, abs=0.005)
    assert found.loc["invest", "expected_loss"] == pytest.approx(loss, rel=0.005)
    assert found.loc["pass", "expected_loss"] == pytest.approx(loss + mean, rel=0.005)
    assert found.loc["invest", "p_best"] == pytest.approx(norm.cdf(mean / sd), abs=0.002)
    assert found.loc["invest", "q05"] == pytest.approx(mean + sd * norm.ppf(0.05), rel=0.01)


@given(arrays(float, (25, 3), elements=st.floats(-1e6, 1e6)))
def test_probabilities_sum_to_one_and_the_least_loss_is_the_evpi(values: Array) -> None:
    found = decision_table(pd.DataFrame(values))
    assert found["p_best"].sum() == pytest.approx(1)
    assert (found["expected_loss"] >= 0).all()
    assert found["expected_loss"].min() == pytest.approx(evpi(pd.DataFrame(values))[0], rel=1e-9, abs=1e-6)
    assert found["expected"].is_monotonic_decreasing


def test_alternatives_that_tie_share_the_draw() -> None:
    found = decision_table(pd.DataFrame(np.zeros((30, 4))))
    assert (found["p_best"] == 0.25).all()
    assert (found["expected_loss"] == 0).all()


def test_cara_of_a_normal_gain_is_its_mean_less_half_its_variance() -> None:
    sure, influence = CARA(0.3).value(5 + 2 * even())
    assert sure == pytest.approx(5 - 0.3 * 4 / 2, rel=0.005)
    assert mc_error(influence) < 0.1


@pytest.mark.parametrize("g", [0.5, 1.0, 2.0, 5.0])
def test_crra_of_log_normal_wealth(g: float) -> None:
    outcome = 100 * np.exp(0.1 + 0.2 * even()) - 100
    sure, _ = CRRA(g, wealth=100).value(outcome)
    assert sure == pytest.approx(100 * np.exp(0.1 + (1 - g) * 0.02) - 100, rel=0.01)


@pytest.mark.parametrize("view", [CARA(0.05), CARA(2.0), CRRA(1.0, 50.0), CRRA(3.0, 50.0)])
def test_errors_of_certainty_equivalents_are_as_large_as_they_say(view: View) -> None:
    found = [view.value(np.random.default_rng(seed).uniform(-3, 5, 400)) for seed in range(200)]
    said = np.mean([mc_error(influence) for _, influence in found])
    assert np.std([sure for sure, _ in found]) == pytest.approx(said, rel=0.2)


@given(arrays(float, 30, elements=st.floats(-90, 1e3)), st.floats(1e-4, 3), st.floats(0.1, 6))
def test_aversion_never_adds_worth(outcome: Array, a: float, g: float) -> None:
    slack = 1e-7 * (1 + np.abs(outcome).max())
    for low, high in ((CARA(a), CARA(2 * a)), (CRRA(g, 100.0), CRRA(2 * g, 100.0))):
        mild, strong = low.value(outcome)[0], high.value(outcome)[0]
        assert outcome.min() - slack <= strong <= mild + slack
        assert mild <= outcome.mean() + slack


def test_no_aversion_is_the_mean() -> None:
    x = np.random.default_rng(0).normal(size=50)
    for view in (CARA(0), CRRA(0, 100), Neutral()):
        assert view.value(x)[0] == pytest.approx(x.mean())


def test_a_view_that_fears_loss_passes_where_the_mean_invests() -> None:
    gain = 1 + 5 * even(4096)
    found = risk_averse(invest(gain), [Neutral(), CARA(0.5)])
    chosen = found[found["chosen"]].set_index("view")["alternative"]
    assert dict(chosen) == {"risk-neutral": "invest", "CARA 0.5": "pass"}
    assert found["premium"].min() >= -1e-12


def test_a_decision_survives_some_prior_sets_and_not_others() -> None:
    z = np.random.default_rng(0).normal(size=4000)
    sets = {"report": 3 + z, "optimist": 5 + z, "sceptic": z - 1, "undecided": z - z.mean() + 1e-6}
    found = robustness({name: invest(gain) for name, gain in sets.items()}).set_index("prior_set")
    assert dict(found["survives"]) == {"report": YES, "optimist": YES, "sceptic": NO, "undecided": CLOSE}
    assert set(found["choice"]) == {"invest"}
    assert found.loc["sceptic", "best"] == "pass"
    assert found.loc["sceptic", "lead"] == pytest.approx(-1, abs=0.05)
    turned = robustness({name: invest(gain) for name, gain in sets.items()}, reference="sceptic")
    assert set(turned["choice"]) == {"pass"}
    averse = robustness({"report": invest(3 + 5 * z)}, CARA(1.0))
    assert set(averse["choice"]) == {"pass"}


def test_a_lead_between_correlated_deals_has_a_paired_error() -> None:
    z = np.random.default_rng(0).normal(size=2000)
    (row,) = robustness({"report": pd.DataFrame({"one": 10 * z, "two": 10 * z + 0.1 + 0.01 * z**2})}).itertuples()
    assert row.survives == YES


FINE = invest(np.linspace(-1.0, 1, 40))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: as_decision(FINE[["invest"]]), "zeros for passing"),
        (lambda: as_decision(FINE.head(5)), "more draws"),
        (lambda: as_decision(FINE.replace(0.0, np.nan)), "pass, draw 1"),
        (lambda: as_decision(FINE, chains=3), "equally long"),
        (lambda: as_decision(pd.DataFrame(np.ones((30, 2)), columns=["a", "a"])), "twice"),
        (lambda: as_decision(FINE.to_xarray().to_array("what")), "alternative"),
        (lambda: CARA(-1), "zero"),
        (lambda: CRRA(np.nan, 10), "CRRA coefficient nan"),
        (lambda: CRRA(2, 0), "positive"),
        (lambda: risk_averse(FINE, [CRRA(2, 0.5)]), "more than 1"),
        (lambda: robustness({}), "none"),
        (lambda: robustness({"report": FINE}, reference="sceptic"), "'sceptic'"),
        (lambda: robustness({"a": FINE, "b": FINE.rename(columns={"pass": "wait"})}), "differ"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
