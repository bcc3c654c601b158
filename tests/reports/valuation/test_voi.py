"""Value of information: against closed forms, published cases, and the inequalities that hold in truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm, qmc
from xarray import DataArray, Dataset, DataTree

from postcgrp.priors import InputError, PriorSet, effective, load_ledger
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation import information, information_figures, information_words, regression
from postcgrp.reports.valuation.information_inputs import (
    market_inputs,
    measurement,
    parse_study,
    readout,
    survey,
)
from postcgrp.tests.helpers.markets import other_market
from postcgrp.tests.helpers.paths import OTHER_MARKET
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit

Array = NDArray[np.float64]
METHODS = ("spline", "gp")


def even(n: int, columns: int, seed: int = 1) -> Array:
    """Standard normal points [n, columns] so even that Monte-Carlo error is far below a per cent: Sobol's."""
    return np.asarray(norm.ppf(qmc.Sobol(columns, seed=seed).random(n)))


def unit_loss(mean: float, sd: float) -> float:
    """E max(0, N(mean, sd)) - max(0, mean): the unit normal loss integral (Raiffa & Schlaifer 1961)."""
    u = abs(mean) / sd
    return float(sd * (norm.pdf(u) - u * norm.sf(u)))


def invest(gain: Array) -> pd.DataFrame:
    return pd.DataFrame({"pass": np.zeros_like(gain), "invest": gain})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("mean", "a", "b"), [(0.3, 1.0, 1.5), (-0.5, 2.0, 0.5), (0.0, 1.0, 1.0)])
def test_two_normal_inputs_are_worth_what_the_loss_integral_says(method: str, mean: float, a: float, b: float) -> None:
    z = even(4096, 2)
    net_benefit = invest(mean + z @ [a, b])
    inputs = {"x": z[:, 0], "y": z[:, 1]}

    def worth(*names: str) -> float:
        return information.evppi(net_benefit, inputs, names, method=method).value

    assert worth("x") == pytest.approx(unit_loss(mean, a), rel=0.02)
    assert worth("y") == pytest.approx(unit_loss(mean, b), rel=0.02)
    assert worth("x", "y") == pytest.approx(unit_loss(mean, float(np.hypot(a, b))), rel=0.02)
    assert information.evpi(net_benefit)[0] == pytest.approx(unit_loss(mean, float(np.hypot(a, b))), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_correlated_inputs_share_their_worth(method: str) -> None:
    z = even(4096, 2)
    y = 0.8 * z[:, 0] + 0.6 * z[:, 1]
    found = information.evppi(invest(0.2 + z[:, 0] + y), {"x": z[:, 0], "y": y}, "x", method=method)
    assert found.value == pytest.approx(unit_loss(0.2, 1.8), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_three_alternatives(method: str) -> None:
    z = even(8192, 4)
    net_benefit = pd.DataFrame({"pass": 0 * z[:, 0], "one": z[:, 0] + z[:, 2], "two": z[:, 1] - z[:, 3]})
    inputs = {"x": z[:, 0], "y": z[:, 1]}
    both = information.evppi(net_benefit, inputs, ("x", "y"), method=method)
    assert both.value == pytest.approx(quad(lambda t: 1 - norm.cdf(t) ** 2, 0, 10)[0], rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_bent_mean_and_noise_that_grows(method: str) -> None:
    z = even(8192, 2)
    x, y = np.exp(0.6 * z[:, 0]), 1.0 + z[:, 1]
    truth = np.maximum(0, x**2 - 1.5).mean() - max(0, (x**2).mean() - 1.5)
    found = information.evppi(invest(x**2 * y - 1.5), {"x": x}, "x", method=method)
    assert found.value == pytest.approx(truth, rel=0.04, abs=2 * found.se)
    assert not found.advice


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_multiply(method: str) -> None:
    z = even(4096, 3)
    product = z[:, 0] * z[:, 1]
    found = information.evppi(invest(product + z[:, 2] - 0.2), {"x": z[:, 0], "y": z[:, 1]}, ("x", "y"), method=method)
    assert found.value == pytest.approx(np.maximum(0, product - 0.2).mean(), rel=0.04)


@pytest.mark.parametrize("method", METHODS)
def test_a_wave_is_followed(method: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    truth = np.sin(3 * x[:, 0]) + x[:, 1] ** 2
    y = truth + 0.3 * rng.normal(size=2000)
    fitted = regression.fit(y, regression.BASES[method](x, y)).fitted
    assert np.sqrt(((fitted - truth) ** 2).mean()) < 0.15  # of a spread of 1.6


TAILS: dict[str, Callable[[Array], Array]] = {
    "power": lambda z: z**9,
    "lognormal": lambda z: np.exp(4 * z),
    "outliers": lambda z: np.where(z > 3, 1e12, np.round(z)),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("method", METHODS)
def test_a_very_long_tail_hides_nothing(method: str, tail: str) -> None:
    z = np.random.default_rng(0).normal(size=2000)
    x = TAILS[tail](z)
    net_benefit = invest(np.clip(x, -0.5, 0.5) - 0.1)
    found = information.evppi(net_benefit, {"tail": x, "other": z[::-1]}, ["tail", "other"], method=method)
    assert found.value == pytest.approx(information.evpi(net_benefit)[0], rel=0.03, abs=1e-9)


def test_a_straight_line_has_the_covariance_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2)) @ [[1, 0.9], [0, 0.3]]
    design = np.column_stack([np.ones(500), x])
    y = x @ [1.0, 2] + rng.normal(size=500)
    found = regression.fit(y, regression.Basis(design, ()))
    expected = (found.residual @ found.residual) / 497 * np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(found.root @ found.root.T, expected, rtol=1e-5)
    drawn = regression.posterior_means([found], 4000, 0)[..., 0]
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(((design @ expected) * design).sum(axis=1)), rtol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_success_or_failure_is_learned_exactly(method: str) -> None:
    rng = np.random.default_rng(0)
    success = (rng.random(2000) < 0.6).astype(float)
    gain = success * rng.lognormal(3, 0.5, 2000) - 14
    exact = sum((success == s).mean() * max(0, gain[success == s].mean()) for s in (0, 1)) - max(0, gain.mean())
    found = information.evppi(invest(gain), {"success": success}, "success", method=method)
    assert found.value == pytest.approx(exact, rel=1e-6)


def brennan(n: int) -> tuple[pd.DataFrame, dict[str, Array]]:
    """Case study 1 of Strong, Oakley & Brennan (2014): 19 normal inputs, four of them correlated at 0.6.

    The distributions are those of the authors' stored draws (test data of SAVI, Sheffield).
    """
    mean = [1000, 0.1, 5.2, 400, 0.7, 0.3, 3, 0.25, -0.1, 0.5, 1500, 0.08, 6.1, 0.8, 0.3, 3, 0.2, -0.1, 0.5]
    sd = [1, 0.02, 2, 200, 0.1, 0.1, 0.5, 0.1, 0.02, 0.2, 1, 0.02, 1, 0.1, 0.05, 1, 0.05, 0.02, 0.2]
    correlation = np.eye(19)
    joined = [4, 6, 13, 15]
    correlation[np.ix_(joined, joined)] += 0.6 * (1 - np.eye(4))
    draws = np.random.default_rng(5).multivariate_normal(np.zeros(19), correlation, n) * sd + mean
    t = np.column_stack([np.full(n, np.nan), draws]).T  # as in the paper, from one
    one = 1e4 * (t[5] * t[6] * t[7] + t[8] * t[9] * t[10]) - (t[1] + t[2] * t[3] * t[4])
    two = 1e4 * (t[14] * t[15] * t[16] + t[17] * t[18] * t[19]) - (t[11] + t[12] * t[13] * t[4])
    return pd.DataFrame({"one": one, "two": two}), {f"theta{k}": t[k] for k in range(1, 20)}


@pytest.mark.parametrize("method", METHODS)
def test_a_published_case_against_its_true_conditional_mean(method: str) -> None:
    net_benefit, inputs = brennan(10_000)
    x7, x16 = (inputs["theta7"] - 3) / 0.5, inputs["theta16"] - 3
    # given both, theta5 and theta14 have mean 0.6 / 1.6 of the sum of their z-scores
    near = 0.6 / 1.6 * (x7 + x16)
    one = 1e4 * ((0.7 + 0.1 * near) * 0.3 * inputs["theta7"] - 0.0125) - (1000 + 0.1 * 5.2 * 400)
    two = 1e4 * ((0.8 + 0.1 * near) * 0.3 * inputs["theta16"] - 0.01) - (1500 + 0.08 * 6.1 * 400)
    truth = np.maximum(one, two).mean() - max(one.mean(), two.mean())
    found = information.evppi(net_benefit, inputs, ("theta7", "theta16"), method=method)
    assert found.value == pytest.approx(truth, abs=2 * found.se)
    assert found.se < 0.05 * truth
    assert not found.advice


def test_errors_are_as_large_as_they_say() -> None:
    truth, z = unit_loss(0.5, 1.0), []
    for seed in range(120):
        x, y = np.random.default_rng(seed).normal(size=(2, 500))
        found = information.evppi(invest(0.5 + x + 1.5 * y), {"x": x}, "x")
        z.append((found.value - truth) / found.se)
    assert abs(np.mean(z)) < 0.35
    assert 0.8 < np.std(z) < 1.25


def test_sticky_chains_have_larger_errors() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(2, 8000))
    x, y = noise.copy()
    for k in range(1, 8000):
        for series, e in ((x, noise[0]), (y, noise[1])):
            series[k] = 0.9 * series[k - 1] + np.sqrt(1 - 0.81) * e[k]
    plain, sticky = (
        information.evppi(invest(0.3 + a + b), {"x": a}, "x", chains=4).se for a, b in (noise, (x, y))
    )  # the same law, and (1 + 0.9) / (1 - 0.9) = 19 times the variance of a mean
    assert 2.5 < sticky / plain < 6


@st.composite
def problems(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, Array]]:
    """Small decisions of any kind: long tails, steps, ties, constants, copies, groups, two to four alternatives."""
    n, others, size = draw(st.integers(25, 120)), draw(st.integers(1, 3)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds: dict[str, Callable[[], Array]] = {
        "normal": lambda: rng.normal(size=n),
        "tail": lambda: rng.standard_t(1.5, n),
        "step": lambda: rng.integers(0, 3, n).astype(float),
        "constant": lambda: np.full(n, 7.0),
        "group": lambda: rng.normal(size=(n, 2)),
    }
    chosen = draw(st.lists(st.sampled_from([*kinds]), min_size=size, max_size=size))
    inputs = {name: kinds[kind]() for name, kind in zip("abcd", chosen, strict=False)}
    if draw(st.booleans()):
        inputs["b"] = inputs["a"].copy()
    columns = np.column_stack([*inputs.values()])
    scale = 10.0 ** draw(st.integers(-6, 6))
    gains = np.sin(columns) @ rng.normal(size=(columns.shape[1], others)) + rng.normal(size=(n, others))
    gains += draw(st.sampled_from([0.0, 0.5, -5.0]))
    return pd.DataFrame(scale * np.column_stack([0 * gains[:, 0], gains])), inputs


def noisy(of: str) -> information.Study:
    return information.Study("noisy", (of,), lambda inputs, rng: inputs[of] + rng.normal(size=inputs[of].shape))


def check_order(net_benefit: pd.DataFrame, inputs: dict[str, Array], method: str) -> None:
    limit = information.evpi(net_benefit)[0]
    names = list(inputs)
    for extra in names:
        rest = [name for name in names if name != extra]
        small = information.evppi(net_benefit, inputs, rest[:1], method=method).value
        large = information.evppi(net_benefit, inputs, rest, method=method).value
        largest = information.evppi(net_benefit, inputs, [extra, *rest], method=method).value
        assert 0 <= small <= large <= largest <= limit
        sample = information.evsi(net_benefit, inputs, noisy(extra), method=method).value
        assert 0 <= sample <= information.evppi(net_benefit, inputs, extra, method=method).value


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_order_holds_exactly_with_splines(problem: tuple[pd.DataFrame, dict[str, Array]]) -> None:
    check_order(*problem, "spline")


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_order_holds_exactly_with_splines_of_many_problems(problem: tuple[pd.DataFrame, dict[str, Array]]) -> None:
    check_order(*problem, "spline")


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_order_holds_exactly_with_processes(problem: tuple[pd.DataFrame, dict[str, Array]]) -> None:
    check_order(*problem, "gp")


def test_a_set_is_raised_to_what_its_parts_find_and_says_so() -> None:
    rng = np.random.default_rng(3)
    inputs = {name: rng.normal(size=300) for name in "abcdef"}
    net_benefit = invest(inputs["a"] + 3 * rng.normal(size=300))
    found = [information.evppi(net_benefit, inputs, ["a", *others]) for others in ("b", "bc", "bcd", "bcdef")]
    raised = [each for each in found if each.decisive]
    assert raised
    assert all(each.raw < each.value for each in raised)
    assert all("a" in each.decisive for each in raised)


def test_nothing_is_worth_more_than_knowing_everything() -> None:
    x = np.linspace(-2, 2, 400)
    net_benefit = invest(np.maximum(0, x))  # investing is never worse, but a smooth curve dips below zero
    found = information.evppi(net_benefit, {"x": x}, "x")
    assert found.raw > found.value == information.evpi(net_benefit)[0] == 0
    assert found.decisive == "EVPI"


def test_a_table_keeps_order_in_groups_too_large_for_all_subsets() -> None:
    raised = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        inputs = {f"x{k}": rng.normal(size=200) for k in range(10)}
        some = [f"x{k}" for k in range(9)]
        net_benefit = invest(inputs["x0"] + inputs["x1"] + rng.normal(size=200))
        found = information.information_table(
            net_benefit, inputs, {"all": list(inputs), "some": some}, [readout("see x0", "x0")]
        )
        worth = found.set_index("name")["value"]
        assert found["name"][0] == "everything"
        assert worth.iloc[1:].is_monotonic_decreasing
        assert worth["everything"] >= worth["all"] >= worth["some"] >= max(worth[name] for name in some)
        assert worth["see x0"] <= worth["x0"]
        raised.append(found.set_index("name")["decisive"]["all"] == " + ".join(some))
    assert any(raised)


@pytest.mark.parametrize("error", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("method", METHODS)
def test_a_normal_study_is_worth_what_its_preposterior_says(method: str, error: float) -> None:
    z = even(8192, 3)
    study = information.Study("noisy", ("x",), lambda inputs, rng: inputs["x"] + error * z[:, 1])
    found = information.evsi(invest(0.3 + z[:, 0] + z[:, 2]), {"x": z[:, 0]}, study, method=method)
    assert found.value == pytest.approx(unit_loss(0.3, 1 / np.sqrt(1 + error**2)), rel=0.02)


def test_a_study_cannot_tell_more_than_what_it_measures() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 1000))
    leaking = information.Study("leaking", ("x",), lambda inputs, rng: inputs["y"])
    found = information.evsi(invest(x + 3 * y), {"x": x, "y": y}, leaking)
    assert found.raw > found.value == information.evppi(invest(x + 3 * y), {"x": x, "y": y}, "x").value
    assert found.decisive


def test_studies_sharpen_with_size() -> None:
    rng = np.random.default_rng(1)
    share = rng.beta(4, 6, 4000)
    inputs = {"share": share}
    net_benefit = invest(share - 0.4 + 0.02 * rng.normal(size=4000))
    sizes = [information.evsi(net_benefit, inputs, survey("s", "share", n)).value for n in (5, 50, 5000)]
    errors = [information.evsi(net_benefit, inputs, measurement("m", "share", sd)).value for sd in (2, 0.2, 0.01)]
    whole = information.evppi(net_benefit, inputs, "share").value
    for values in (sizes, errors):
        assert values == sorted(values)
        assert values[-1] == pytest.approx(whole, rel=0.02)
        assert values[0] < 0.8 * whole
    assert information.evsi(net_benefit, inputs, readout("r", "share")).value == whole


def test_a_regression_that_misses_the_shape_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    net_benefit = invest(np.sin(3 * x) + rng.normal(size=2000))
    good = information.evppi(net_benefit, {"x": x}, "x")
    assert not good.advice
    straight = regression.Basis(np.column_stack([np.ones(2000), x]), ())
    monkeypatch.setitem(regression.BASES, "spline", lambda *_: straight)
    bad = information.evppi(net_benefit, {"x": x}, "x")
    assert "residuals keep" in bad.advice
    assert bad.z > 10 > abs(good.z)


def test_residuals_are_flat_over_the_fitted_mean() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    trend = information.residual_trend(invest(np.exp(x) + rng.normal(size=2000)), {"x": x}, "x")
    assert len(trend) == information.RESIDUAL_BINS
    assert (trend["residual"].abs() < 4 * trend["se"]).all()


def test_the_same_from_frames_arrays_and_chains() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 100))
    values = np.stack([0 * x, x + rng.normal(size=x.shape)], axis=-1)
    array = DataArray(values, dims=["chain", "draw", "alternative"], coords={"alternative": ["pass", "invest"]})
    frame = pd.DataFrame(values.reshape(-1, 2), columns=["pass", "invest"])
    inputs = {"x": x.ravel()}
    assert information.evppi(array, inputs, "x") == information.evppi(frame, inputs, "x", chains=4)
    assert information.evppi(array.transpose("alternative", "draw", "chain"), inputs, "x") == information.evppi(
        array, inputs, "x"
    )


FRAME = invest(np.linspace(-1, 1, 40))
X = {"x": np.linspace(0, 1, 40)}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: information.evppi(FRAME, X, "y"), "name some of x"),
        (lambda: information.evppi(FRAME, X, ()), "names no input"),
        (lambda: information.evppi(FRAME, X, "x", method="tree"), "spline or gp"),
        (lambda: information.evppi(FRAME, {"x": np.zeros(39)}, "x"), "40 draws"),
        (lambda: information.evppi(FRAME, {"x": np.full(40, np.nan)}, "x"), "finite"),
        (lambda: information.evsi(FRAME, X, information.Study("s", ("x",), lambda i, g: np.zeros(3))), "every draw"),
        (lambda: information.evsi(FRAME, X, measurement("s", "x", 0.05)), "not positive"),
        (lambda: information.evsi(FRAME, {"x": np.linspace(0, 2, 40)}, survey("s", "x", 9)), "no share"),
        (lambda: information.information_table(FRAME, X, {"g": ["x", "z"]}), "'z'"),
        (lambda: measurement("s", "x", -1), "log-sd"),
        (lambda: survey("s", "x", 0), "0 respondents"),
        (lambda: parse_study("measure:x"), "measure:x'"),
        (lambda: parse_study("survey:x:many"), "survey:x:many"),
        (lambda: parse_study("poll:x:3"), "is not understood"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_group_is_studied_by_name() -> None:
    """Prices and revenue are held as logs: an error is added there, and each number of the group gets its own."""
    rng = np.random.default_rng(2)
    logs = 4 + 0.3 * rng.normal(size=(4000, 2))
    inputs = {"Implantable / interventional: revenue": logs, "share": np.full((4000, 2), 0.3)}
    study = parse_study("measure:implantable: revenue:0.1", inputs)
    assert study.measures == ("Implantable / interventional: revenue",)
    result = study.simulate(inputs, np.random.default_rng(1))
    np.testing.assert_allclose((result - logs).std(axis=0), 0.1, rtol=0.05)
    assert parse_study("survey:share:50").simulate(inputs, np.random.default_rng(1)).shape == (4000, 2)
    gain = invest(np.exp(logs[:, 0]) + np.exp(logs[:, 1]) - 115)
    exact, rough = (
        information.evsi(gain, inputs, parse_study(f"measure:Implantable: revenue:{sd}", inputs)) for sd in (0.01, 1.0)
    )
    whole = information.evppi(gain, inputs, "Implantable / interventional: revenue")
    assert rough.value < 0.5 * exact.value <= whole.value
    assert exact.value == pytest.approx(whole.value, rel=0.1)


def test_a_study_is_shown_net_of_its_cost_and_delay() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    gain, given = invest(x + 0.2), {"x": x}
    studies = [
        parse_study(text)
        for text in ("free=readout:x", "dear=readout:x@0.1", "late=readout:x@0.1,2", "noise=readout:z")
    ]
    found = information.information_table(gain, {**given, "z": rng.normal(size=2000)}, {}, studies, rate=0.1)
    rows: Any = found.set_index("name")
    now, worth = gain["invest"].mean(), rows.loc["free", "value"]
    assert rows.loc["free", "net"] == pytest.approx(worth)
    assert rows.loc["dear", "net"] == pytest.approx(worth - 0.1)
    assert rows.loc["late", "net"] == pytest.approx((now + worth) / 1.1**2 - now - 0.1)
    assert rows.loc[["everything", "x"], "net"].isna().all()
    shown = information_words.readable(found, "USD million")
    assert list(shown["learn"][:5]) == ["everything", "free", "dear", "late", "noise"]  # asked for, so always shown
    text = information_words.information_said(found, "USD million")
    assert "the study free pays: net" in text
    assert "the study noise" in text


def test_studies_are_read_from_text() -> None:
    study = parse_study("claims=measure:patients 2025:0.05@2,0.5")
    assert (study.name, study.cost, study.delay) == ("claims", 2.0, 0.5)
    assert parse_study("claims=measure:patients 2025:0.05").name == "claims"
    assert parse_study("measure:device: price:0.1").measures == ("device: price",)
    assert parse_study("survey:payer blocking:60").name == "survey:payer blocking:60"
    assert parse_study("readout:pivotal succeeds").measures == ("pivotal succeeds",)


def fake_run(pset: PriorSet) -> DataTree:
    """Draws with the names and dims of a run's, from no model."""
    rng, coords = np.random.default_rng(0), {dim: list(keys) for dim, keys in pset.coords.items()}
    coords |= {"modality": [m.name for m in pset.ledger.modalities], "source_year": [0, 1], "chain": [0, 1]}
    coords["draw"] = list(range(30))
    cells = ("year", "region", "depth")
    dims = {
        "patients": cells,
        "acute_use": cells[1:],
        "payer_block": cells[1:2],
        "use": (*cells, "modality"),
        "price": ("year", "modality"),
        "revenue": (*cells, "modality"),
        "source_error": ("source_year",),
    }
    arrays = {
        name: (("chain", "draw", *own), rng.uniform(0.1, 0.9, [len(coords[d]) for d in ("chain", "draw", *own)]))
        for name, own in dims.items()
    }
    return DataTree.from_dict(
        {"posterior": Dataset(arrays, {d: c for d, c in coords.items() if d not in ("anchor", "step")})}
    )


@pytest.mark.parametrize("folder", [None, OTHER_MARKET])
def test_what_a_market_has_to_learn_comes_from_its_ledger(folder: Path | None) -> None:
    files = () if folder is None else (folder / "report.toml", folder / "assumptions.toml")
    pset = effective(load_ledger(*files))
    run = fake_run(pset)
    inputs = market_inputs(Run.in_memory(run, pset))
    first = pset.ledger.years[0]
    patients = run["posterior"].to_dataset()["patients"].sel(year=first).sum(["region", "depth"])
    np.testing.assert_allclose(inputs[f"patients {first}"], patients.to_numpy().ravel())
    assert inputs["patients by region"].shape == (60, len(pset.ledger.regions) - 1)
    assert "medication overuse" not in inputs
    for modality in pset.ledger.modalities:
        label = modality.label or modality.name
        assert inputs[f"{label}: price"].reshape(60, -1).shape[1] == len(pset.anchors(modality))
        assert (f"{label}: uptake" in inputs) == (modality.uptake != "everyone")
    found = information.information_table(invest(np.log(inputs[f"patients {first}"]) - 2), inputs, chains=2)
    assert found["name"][1] == f"patients {first}"


def test_a_launch_that_fails_or_is_still_to_come_can_be_learned(tmp_path: Path) -> None:
    pset = other_market("launch before the last anchor")
    run = prior_run(pset, tmp_path / "run", draws=30)
    assert (run.posterior["revenue"].sel(modality="implant") == 0).any()
    assert all(np.isfinite(values).all() for values in market_inputs(run).values())


def test_a_market_of_one_region_and_one_depth_has_no_shares_to_learn(tmp_path: Path) -> None:
    pset = other_market("one region, one depth, one modality")
    inputs = market_inputs(prior_run(pset, tmp_path / "run", draws=30))
    assert not {"patients by region", "failure depth", "value by region"} & set(inputs)
    assert f"patients {pset.ledger.years[0]}" in inputs


def test_the_figure_calls_a_deals_inputs_by_plain_words() -> None:
    draws = np.random.default_rng(0).normal(size=500)
    deal = "A deal whose name is longer than a label has room for"
    found = information.information_table(
        invest(draws), {f"{deal}: economics.cost.trial.by_year[1]": draws, "p_side[2025]": draws}
    )
    labels = [row["bar"] for row in information_figures.worth_bars(found, "USD")["data"]["values"]]
    assert labels == ["A deal whose name is longer than…: cost trial, year 1", "p_side[2025]"]


def test_the_figure_says_what_is_worth_most() -> None:
    rng = np.random.default_rng(0)
    inputs = {f"input {k}": rng.normal(size=500) for k in range(4)}
    net_benefit = invest(inputs["input 2"] + 0.2 * inputs["input 1"])
    found = information.information_table(net_benefit, inputs, studies=[readout("trial", "input 2")])
    drawn = information_figures.worth_bars(found, "EUR million")
    title = " ".join(drawn["title"]["text"])
    assert "input 2" in title
    assert "EUR million" in title
    shown = [value for value in found["value"][1:] if value > information_figures.NEGLIGIBLE * found["value"][0]]
    assert len(shown) >= 3
    assert [row["value"] for row in drawn["data"]["values"]] == sorted(shown, reverse=True)


def test_a_study_has_a_bar_however_little_it_is_worth() -> None:
    rng = np.random.default_rng(0)
    inputs = {f"input {k}": rng.normal(size=500) for k in range(2)}
    found = information.information_table(invest(inputs["input 0"]), inputs, studies=[readout("trial", "input 1")])
    found.loc[found["kind"] == "EVSI", ["value", "se", "share"]] = 1e-9
    rows = information_figures.worth_bars(found, "EUR million")["data"]["values"]
    assert [row["kind"] for row in rows] == ["input", "study"]
