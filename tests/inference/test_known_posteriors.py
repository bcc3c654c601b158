"""Every sampler on models whose posteriors are known, and what any model may ask of the layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from arviz_stats import ess
from pymc.stats import compute_log_likelihood, compute_log_prior
from xarray import Dataset

from postcgrp.inference import Sampling, gate, passed, sample
from postcgrp.inference.forward import ONCE, draw_prior, observed_sampler, unconstrain
from postcgrp.priors import InputError
from postcgrp.tests.helpers.blueprints import named
from postcgrp.tests.helpers.known_posteriors import (
    MODELS,
    Block,
    Exact,
    Moments,
    build,
    centred_eight_schools,
    interval_within_another,
    normal_given,
    order_statistics,
)
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

JAX_BACKENDS = (
    ("hmc", "parallel"),
    ("numpyro", "parallel"),
    ("numpyro", "vectorized"),
    ("blackjax", "parallel"),
    ("blackjax", "vectorized"),
)
BACKENDS = (*JAX_BACKENDS, ("pymc", "parallel"))
QUICK = (interval_within_another, order_statistics)
# Draws of a chain: more where tails are heavy, fewer of a hundred dimensions, which take longest.
DRAWS = {"correlated_normal": 6000, "transforms": 12_000}
MIN_ESS = 4000.0
MEAN_ERRORS = 4.0  # in Monte-Carlo standard errors
SD_ERROR = 0.03
CHAIN_CORRELATION = 0.2  # several standard errors at the least ESS


def missed(posterior: Dataset, exact: Exact) -> set[str]:
    """Variables whose means or sds are not the exact ones: 3 % are at least 3.5 standard errors of an sd.

    Chains that are too short to tell, or not independent, fail at once.
    """
    found = set()
    squares = Dataset({name: (posterior[name] - np.asarray(mean)) ** 2 for name, (mean, _) in exact.items()})
    sizes, square_sizes = ess(posterior[list(exact)], method="mean"), ess(squares, method="mean")
    for name, moments in exact.items():
        mean, sd = map(np.asarray, moments)
        draws, square, size = posterior[name].values, squares[name].values, sizes[name].values
        assert size.min() >= MIN_ESS, name
        for cell in draws.reshape(*draws.shape[:2], -1).T:
            assert np.abs(np.corrcoef(cell.T) - np.eye(len(draws))).max() < CHAIN_CORRELATION, name
        mcse = square.std(axis=(0, 1)) / np.sqrt(square_sizes[name].values) / (2 * np.square(sd))
        assert mcse.max() < SD_ERROR / 3.5, name
        right = np.abs(draws.mean(axis=(0, 1)) - mean) < MEAN_ERRORS * sd / np.sqrt(size)
        if not (right & (np.abs(np.sqrt(square.mean(axis=(0, 1))) / sd - 1) < SD_ERROR)).all():
            found.add(name)
    return found


def check_backend(blocks: Sequence[Block], backend: tuple[str, str], draws: int) -> None:
    """Where moments of one seed miss, a second decides: a bias is there for both, and chance is not.

    Of a thousand cells at four standard errors one misses by chance in one session of fifteen.
    """
    sampler, method = backend
    model, exact = build(blocks)

    def missed_by(seed: int) -> set[str]:
        settings = Sampling(
            draws=draws, tune=1000, seed=seed, sampler=sampler, chain_method=method, target_accept=0.9, prior_draws=1000
        )
        return missed(sample(model, settings)["posterior"].to_dataset(), exact)

    assert not missed_by(1) or not missed_by(2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS, ids="-".join)
def test_every_sampler_finds_a_known_posterior(backend: tuple[str, str]) -> None:
    check_backend(QUICK, backend, 6000)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS, ids="-".join)
@pytest.mark.parametrize("name", MODELS)
def test_every_sampler_finds_every_known_posterior(name: str, backend: tuple[str, str]) -> None:
    check_backend(MODELS[name], backend, DRAWS.get(name, 10_000))


def check_centred(backend: tuple[str, str], seed: int) -> None:
    sampler, method = backend
    model = centred_eight_schools()
    run = sample(model, Sampling(sampler=sampler, chain_method=method, seed=seed))
    assert not passed(gate(run, [rv.name for rv in model.free_RVs]))


def test_gate_rejects_centred_eight_schools() -> None:
    check_centred(("numpyro", "parallel"), 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("backend", JAX_BACKENDS, ids="-".join)
def test_gate_rejects_centred_eight_schools_of_every_sampler(backend: tuple[str, str], seed: int) -> None:
    check_centred(backend, seed)


def apart(model: pm.Model) -> None:
    with model:
        pm.NormalMixture("apart", [0.3, 0.7], mu=[-8.0, 8.0], sigma=1.0)


@pytest.mark.parametrize("sampler", variants(["hmc", "pymc", "numpyro", "blackjax"], stay=1))
def test_gate_rejects_modes_that_no_chain_leaves(sampler: str) -> None:
    """Chains that all began near one of them would agree, with an sd a third too small."""
    apart(model := pm.Model())
    for seed in (1, 2):
        failed = {c.check for c in gate(sample(model, Sampling(sampler=sampler, seed=seed)), ["apart"]) if not c.passed}
        assert "rhat" in failed


def very_different_scales() -> Exact:
    pm.Normal("tiny", 3e-6, 1e-6)
    pm.Normal("huge", 5e6, 1e6)
    return {"tiny": Moments(3e-6, 1e-6), "huge": Moments(5e6, 1e6)}


def vague() -> Exact:
    pm.Normal("of_vague", pm.Normal("vague", 0, 1e6), 1e-3, observed=123456.0)
    return {"vague": Moments(123456.0, 1e-3)}


@pytest.mark.parametrize("sampler", variants(["hmc", "numpyro", "blackjax"], stay=1))
@pytest.mark.parametrize("block", [very_different_scales, vague])
def test_scales_may_differ_by_many_powers_of_ten(block: Block, sampler: str) -> None:
    model, exact = build([block])
    run = sample(model, Sampling(draws=8000, tune=500, sampler=sampler, target_accept=0.9, prior_draws=1000))
    assert not missed(run["posterior"].to_dataset(), exact)
    assert passed(gate(run, list(exact)))


def counts() -> None:
    x = np.linspace(-3, 3, 50)
    slope = pm.Normal("slope", 0, 10)
    pm.Poisson("count", pt.exp(slope * x), observed=np.round(np.exp(0.5 * x)).astype(int))


def test_prior_draws_from_which_no_data_can_be_drawn_are_gaps() -> None:
    with pm.Model() as model:
        counts()
    for seed in (1, 2):
        run = sample(model, Sampling(prior_draws=500, seed=seed))
        assert passed(gate(run, ["slope"]))
        groups = {name: run[name].to_dataset() for name in ("prior", "prior_predictive", "posterior_predictive")}
        missing = np.isnan(groups["prior_predictive"]["count"].values).all(axis=-1)
        # NumPy refuses means above some 9e18
        refused = np.exp(3 * np.abs(groups["prior"]["slope"].values)) > 9.2e18
        assert refused.any()
        np.testing.assert_array_equal(missing, refused)
        assert np.isfinite(groups["posterior_predictive"]["count"].values).all()


# --- What is stored of a draw


def check_log_densities(blocks: Sequence[Block]) -> Dataset:
    """The groups equal PyMC's; returns the posterior."""
    model, _ = build(blocks)
    run = sample(model, Sampling(draws=20, tune=50, chains=2, prior_draws=100))
    model.rvs_to_initial_values.update(dict.fromkeys(model.free_RVs))  # PyMC cannot copy a model that has some
    for group, compute in (("log_prior", compute_log_prior), ("log_likelihood", compute_log_likelihood)):
        with pytensor.config.change_flags(mode="FAST_COMPILE"):  # a few draws: optimising takes longer than it saves
            theirs = compute(run, extend_inferencedata=False, model=model, progressbar=False)
        ours = run[group].to_dataset()
        assert set(ours) == set(theirs)
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name].values, values.values, rtol=1e-9, atol=1e-12, err_msg=str(name))
    return run["posterior"].to_dataset()


def test_log_densities_are_elementwise_and_without_jacobians() -> None:
    posterior = check_log_densities(MODELS["transforms"])
    assert (posterior["log_normal"] > 0).all()
    assert ((posterior["uniform"] > -1) & (posterior["uniform"] < 3)).all()
    low, between = posterior["low"], posterior["between"]
    assert ((low > 0) & (low < 1) & (between > low) & (between < 2 * low + 1)).all()
    assert (np.diff(posterior["ordered"].values, axis=-1) > 0).all()
    assert (posterior["shares"] > 0).all()
    np.testing.assert_allclose(posterior["shares"].values.sum(axis=-1), 1, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conjugate", "one_parameter", "correlated_normal", "random_walk", "eight_schools"])
def test_log_densities_of_other_models(name: str) -> None:
    check_log_densities(MODELS[name])


def test_other_data_have_another_posterior_without_another_graph(cache: Path) -> None:
    centre, y = 0.0, np.array([1.2, 0.4, 2.1, 1.7, 0.9])
    with pm.Model() as model:
        mu = pm.Normal("mu", pm.Data("centre", centre), 2)
        pm.Normal("y", mu, 1, observed=pm.Data("values", y))
    settings = Sampling(draws=5000, prior_draws=1000)
    run = sample(named(model, "data"), settings)
    assert not missed(run["posterior"].to_dataset(), {"mu": normal_given(centre, 2, y, 1)})
    centre, y = 10.0, y[::-1] - 3
    pm.set_data({"centre": centre, "values": y}, model=model)
    run = sample(replace(named(model, "data"), build=lambda: pytest.fail("its programs are stored")), settings)
    assert not missed(run["posterior"].to_dataset(), {"mu": normal_given(centre, 2, y, 1)})
    np.testing.assert_array_equal(run["observed_data"]["y"].values, y)
    assert float(run["prior"]["mu"].mean()) == pytest.approx(centre, abs=5 * 2 / 1000**0.5)


# --- What cannot be sampled


def discrete() -> None:
    pm.Normal("y", pm.Poisson("count", 3) + pm.Bernoulli("flag", 0.3), 1, observed=2.0)


def nothing_free() -> None:
    pm.Normal("y", 0, 1, observed=2.0)


def flat() -> None:
    pm.Normal("y", pm.Flat("anywhere"), 1, observed=2.0)


def named_like_a_dimension() -> None:
    pm.Normal("draw")


def never_in_order() -> None:
    pm.Normal("x", [5, 0, -5], 0.1, transform=pm.distributions.transforms.ordered, initval=[-1, 0, 1])


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (discrete, "count, flag: a discrete free variable"),
        (nothing_free, "no free variables"),
        (flat, "flat .*use a proper prior"),
        (named_like_a_dimension, "'draw' cannot name a variable"),
        (never_in_order, "0 of .* prior draws lie within"),
    ],
)
def test_a_model_that_cannot_be_sampled_is_refused(variables: Callable[[], None], message: str) -> None:
    with pm.Model() as model:
        variables()
    with pytest.raises(InputError, match=message):
        sample(model)


# --- Forward draws


def test_prior_draws_respect_the_order() -> None:
    with pm.Model() as model:
        exact = order_statistics()
    value = draw_prior(model, 30_000, 1)["ordered_ordered__"]
    first, *rest = value.T
    ordered = np.cumsum([first, *np.exp(rest)], axis=0).T
    mean, sd = exact["ordered"]
    assert (np.abs(ordered.mean(axis=0) - mean) < MEAN_ERRORS * sd / np.sqrt(len(value))).all()
    np.testing.assert_allclose(ordered.std(axis=0), sd, rtol=SD_ERROR)


def scaled(observed: Callable[[Any], Any]) -> pm.Model:
    """A model of a scale and of something observed that depends on it."""
    with pm.Model() as model:
        observed(pm.HalfNormal("scale"))
    return model


# What PyTensor batches wrongly or not at all: a constant first parameter, random variables made of others, loops.
DEPENDENT: dict[str, Callable[[Any], Any]] = {
    "constant first parameter": lambda s: pm.Normal("y", 0, s, observed=np.ones(3)),
    "loop": lambda s: pm.AR("y", [0.5], s, init_dist=pm.Normal.dist(), observed=np.zeros(3)),
    "independent": lambda s: pm.Normal("y", 0, 2, observed=np.ones(3)),
    "counts": lambda s: pm.Multinomial("y", 9, pt.stack([s, 1, 2]) / (s + 3), observed=[3, 3, 3]),
    "overdispersed counts": lambda s: pm.DirichletMultinomial("y", 9, pt.stack([s, 1, 2]), observed=[3, 3, 3]),
    "mixture": lambda s: pm.NormalMixture("y", [0.2, 0.8], [-3, 3], s, observed=np.ones(3)),
    "censored": lambda s: pm.Censored("y", pm.Normal.dist(0, s), -1, 1, observed=np.zeros(3)),
    "truncated": lambda s: pm.Truncated("y", pm.Gamma.dist(2, s), lower=1, observed=np.full(3, 2.0)),
    "sum to zero": lambda s: pm.ZeroSumNormal("y", s, observed=np.zeros(3)),
    "walk": lambda s: pm.GaussianRandomWalk("y", 0, s, init_dist=pm.Normal.dist(), observed=np.zeros(3)),
    "chain": lambda s: pm.Normal("z", pm.Normal("y", 0, s, observed=np.ones(3)), 0.1, observed=np.ones(3)),
}


@pytest.mark.parametrize("name", variants(DEPENDENT, stay=6))
def test_predictive_draws_are_pymcs_one_for_each_draw(name: str) -> None:
    """Given scales of 1 and 3 in turn: moments of PyMC's own draws at each, independent from draw to draw."""
    model = scaled(DEPENDENT[name])
    number = 1000
    drawn = observed_sampler(model)({"scale": np.tile([1.0, 3.0], number)}, 1)
    for i, scale in enumerate((1.0, 3.0)):
        at = pm.do(model, {"scale": scale})
        theirs = pm.draw(at.observed_RVs, number, random_seed=2, mode=ONCE)
        for rv, their in zip(at.observed_RVs, theirs, strict=True):
            ours = drawn[rv.name][i::2]
            assert ours.shape == their.shape
            for moment in (np.arctan, lambda x: np.arctan(x) ** 2):
                a, b = moment(ours), moment(their)
                error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / number)
                assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 4.5 * error).all(), rv.name
            flat = ours.reshape(number, -1)
            echo = np.mean((flat[1:] - flat.mean(axis=0)) * (flat[:-1] - flat.mean(axis=0)), axis=0)
            assert (np.abs(echo) <= 4.5 * flat.var(axis=0) / number**0.5).all(), rv.name


def test_an_observed_variable_drawn_from_another_follows_it() -> None:
    drawn = observed_sampler(scaled(DEPENDENT["chain"]))({"scale": np.full(1000, 5.0)}, 1)
    assert (drawn["z"] - drawn["y"]).std() == pytest.approx(0.1, rel=0.1)


def test_prior_draws_of_variables_made_of_others_are_batched() -> None:
    with pm.Model() as model:
        scale = pm.HalfNormal("scale")
        pm.Normal("x", 0, scale, shape=2)
        pm.ZeroSumNormal("w", scale, shape=3)
        pm.AR("series", [0.5], scale, init_dist=pm.Normal.dist(0, scale), steps=2)
    point = draw_prior(model, 2000, 1)
    assert {name: values.shape[1:] for name, values in point.items()} == {
        "scale_log__": (),
        "x": (2,),
        "w_zerosum__": (2,),
        "series": (3,),
    }
    scale = np.exp(point["scale_log__"])[:, None]
    series = point["series"] / scale
    for values in (point["x"] / scale, point["w_zerosum__"] / scale, series[:, :1], series[:, 1:] - series[:, :-1] / 2):
        assert np.abs(values.mean(axis=0)).max() < 4.5 / 2000**0.5
        np.testing.assert_allclose(values.std(axis=0), 1, atol=4.5 / 4000**0.5)
        assert np.abs(np.corrcoef(values[1:, 0], values[:-1, 0])[0, 1]) < 4.5 / 2000**0.5


def test_a_seed_gives_a_variable_its_draws_whatever_else_is_in_the_model() -> None:
    def build(names: str) -> pm.Model:
        with pm.Model() as model:
            made = {name: pm.LogNormal(name, shape=2) if name != "walk" else walk() for name in names.split()}
            pm.Normal("y", made.get("a", 0), observed=np.zeros(2))
        return model

    def walk() -> Any:
        return pm.GaussianRandomWalk("walk", 0, 1, init_dist=pm.Normal.dist(), shape=3)

    first, second = draw_prior(build("a walk b"), 50, 7), draw_prior(build("c b walk a"), 50, 7)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    assert not np.array_equal(first["a_log__"], first["b_log__"])
    assert not np.array_equal(first["walk"][:, 0], first["walk"][:, 1])
    assert not np.array_equal(first["a_log__"], draw_prior(build("a"), 50, 8)["a_log__"])


def test_unconstrained_draws_follow_the_bounds_of_each() -> None:
    with pm.Model() as model:
        interval_within_another()
    low = np.array([0.1, 0.5, 0.9])
    point = unconstrain(model, {"low": low, "between": low + 0.25 * (low + 1)})
    np.testing.assert_allclose(point["low_interval__"], np.log(low / (1 - low)))
    np.testing.assert_allclose(point["between_interval__"], np.log(0.25 / 0.75))
